"""``podspace apply``: make objects be as their manifests say; what was applied last is remembered in kubectl's annotation.

So kubectl and podspace may take turns on the same objects. Source: kubernetes.io, client-side apply.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from podspace.cli import client, delete, failure, flags, kubeconfig, manifests, objects, output, three_way
from podspace.kube.json import JSON

USAGE = """
Create or change objects so that they are as their manifests say.

  podspace apply -f FILE|FOLDER|URL|-

Examples:
  podspace apply -f pod.yaml
  podspace apply -f https://k8s.io/examples/pods/share-process-namespace.yaml
  podspace apply -n web -f manifests/ -R
  podspace apply -f - < pod.yaml
"""
FLAGS = (
    flags.Flag("filename", "f", takes="FILE", many=True, help="file, folder, URL, or - for standard input"),
    flags.Flag("recursive", "R", help="folders with their subfolders"),
    flags.Flag("dry-run", takes="MODE", default="none", bare="client", help="none, client or server"),
    flags.Flag("output", "o", takes="FORMAT", help="name, yaml, json, jsonpath=..."),
    flags.Flag("force", help="delete and create again what cannot be changed"),
    flags.Flag("grace-period", takes="SECONDS", default="-1", help="with --force: time to end"),
    flags.Flag("validate", takes="MODE", default="strict", bare="strict", help="unknown fields: strict, warn or ignore"),
    flags.Flag("server-side", help="let the server merge"),
    flags.Flag("force-conflicts", help="with --server-side: take fields from their managers"),
    flags.Flag("field-manager", takes="NAME", help="who is said to have written"),
    *flags.COMMON,
)
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
CLIENT_SIDE, SERVER_SIDE = "kubectl-client-side-apply", "kubectl"
VALIDATION = {"strict": "Strict", "true": "Strict", "warn": "Warn", "ignore": "Ignore", "false": "Ignore"}
UNCHANGED, CONFIGURED, CREATED, APPLIED = "unchanged", "configured", "created", "serverside-applied"
CONFLICT_TRIES = 5
GO_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}  # encoding/json, to be safe in HTML


def run(argv: Sequence[str]) -> int:
    options = flags.parse("apply", USAGE, FLAGS, argv)
    if options.args:
        raise failure.Usage(f"Unexpected args: {options.args}", "apply")
    if not options.texts("filename"):
        raise failure.Failure("must specify one of -f and -k")
    if options.text("validate").lower() not in VALIDATION:
        raise failure.Failure(f'invalid argument "{options.text("validate")}" for "--validate" flag: strict, warn or ignore')
    printer = output.printer(options.text("output"))
    read = manifests.read(options.texts("filename"), recursive=options.on("recursive"))
    with client.Client(kubeconfig.load(options)) as api:
        return _apply_all(options, api, read, printer)


def _apply_all(options: flags.Options, api: client.Client, read: Sequence[manifests.Manifest], printer: output.Printer | None) -> int:
    applier = _Applier(options, api, api.cluster.namespace)
    code = 0
    for manifest in read:
        try:
            done, obj = applier.apply(manifest)
        except failure.Failure as error:
            print(error, file=sys.stderr)
            code = 1
            continue
        target = objects.of_object(obj, manifest.source)
        sys.stdout.write(printer([obj], False) if printer else f"{target.label} {done}{applier.dry_run_note}\n")
        sys.stdout.flush()
    return code


class _Applier:
    def __init__(self, options: flags.Options, api: client.Client, namespace: str) -> None:
        self._options = options
        self._api = api
        self._namespace = namespace
        self._dry_run = options.text("dry-run")
        self.dry_run_note = {"client": " (dry run)", "server": " (server dry run)"}.get(self._dry_run, "")

    def apply(self, manifest: manifests.Manifest) -> tuple[str, JSON]:
        """What was done, and the object as it is now. Raises: failure.Failure."""
        target = objects.of_object(manifest.obj, manifest.source)
        obj = self._placed(manifest.obj, target)
        if not target.name:
            raise failure.Failure(f'error when retrieving current configuration of "{manifest.source}": resource name may not be empty')
        if self._options.on("server-side"):
            return APPLIED, self._server_side(target, obj)
        for attempt in range(CONFLICT_TRIES):
            try:
                return self._once(target, obj, manifest.source)
            except failure.ServerFailure as error:
                if error.reason != "Conflict" or attempt == CONFLICT_TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _once(self, target: objects.Target, obj: JSON, source: str) -> tuple[str, JSON]:
        desired = annotated(obj)
        try:
            live = self._api.get(self._path(target, obj))
        except failure.ServerFailure as error:
            if error.code != 404:
                raise
            return CREATED, self._create(target, desired, source)
        original = last_applied(live)
        if original is None:
            _warn_unmanaged(target)
        changes = three_way.patch(original or {}, desired, live)
        if not changes:
            return UNCHANGED, live
        if self._dry_run == "client":
            return CONFIGURED, live
        return CONFIGURED, self._patch(target, obj, changes, desired, source)

    def _create(self, target: objects.Target, desired: JSON, source: str) -> JSON:
        if self._dry_run == "client":
            return desired
        path = self._path(objects.Target(resource=target.resource), desired) + self._query(CLIENT_SIDE)
        try:
            return self._api.request("POST", path, desired)
        except failure.ServerFailure as error:
            raise error.about(f'error when creating "{source}"') from None

    def _patch(self, target: objects.Target, obj: JSON, changes: JSON, desired: JSON, source: str) -> JSON:
        path = self._path(target, obj)
        strategic = "application/strategic-merge-patch+json"
        try:
            return self._api.request("PATCH", path + self._query(CLIENT_SIDE), changes, content_type=strategic)
        except failure.ServerFailure as error:
            if error.code != 422 or not self._options.on("force"):
                raise error.about(
                    f'error when applying patch:\n{json.dumps(changes)}\nfor: "{source}": error when patching "{source}"'
                ) from None
        grace = self._options.number("grace-period")
        self._api.request("DELETE", path, {"propagationPolicy": "Background", **({"gracePeriodSeconds": grace} if grace >= 0 else {})})
        delete.await_absence(self._api, path)
        return self._create(target, desired, source)

    def _server_side(self, target: objects.Target, obj: JSON) -> JSON:
        query = self._query(SERVER_SIDE, force="true" if self._options.on("force-conflicts") else "false")
        return self._api.request("PATCH", self._path(target, obj) + query, obj, content_type="application/apply-patch+yaml")

    def _placed(self, obj: JSON, target: objects.Target) -> JSON:
        """The manifest with its namespace filled in. Raises: failure.Failure if it names another than -n."""
        metadata = dict(obj.get("metadata") or {})
        if not target.resource.namespaced:
            return {**obj, "metadata": metadata}
        own = metadata.setdefault("namespace", self._namespace) or self._namespace
        if self._options.given("namespace") and own != self._namespace:
            message = f'the namespace from the provided object "{own}" does not match the namespace "{self._namespace}".'
            raise failure.Failure(f"{message} You must pass '--namespace={own}' to perform this operation.")
        return {**obj, "metadata": metadata}

    def _path(self, target: objects.Target, obj: JSON) -> str:
        return objects.path(target, obj["metadata"].get("namespace", ""))

    def _query(self, manager: str, **more: str) -> str:
        pairs = {
            "fieldManager": self._options.text("field-manager") or manager,
            "fieldValidation": VALIDATION[self._options.text("validate").lower()],
        }
        if self._dry_run == "server":
            pairs["dryRun"] = "All"
        return client.query([*pairs.items(), *more.items()])


def annotated(obj: JSON) -> JSON:
    """The object with itself as the annotation, byte for byte as kubectl writes it."""
    metadata = obj["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != ANNOTATION}
    plain = {**obj, "metadata": {**metadata, "annotations": annotations}}
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False).translate(GO_ESCAPES) + "\n"
    return {**obj, "metadata": {**metadata, "annotations": {**annotations, ANNOTATION: text}}}


def last_applied(live: JSON) -> JSON | None:
    """What was applied last, None if nobody wrote it down."""
    text = (live["metadata"].get("annotations") or {}).get(ANNOTATION)
    if not text:
        return None
    try:
        parsed: JSON = json.loads(text)
    except ValueError:
        return None
    return parsed


def _warn_unmanaged(target: objects.Target) -> None:
    print(
        f"Warning: resource {target.resource.plural}/{target.name} is missing the {ANNOTATION} annotation which is required"
        " by podspace apply. podspace apply should only be used on resources created declaratively by podspace apply or kubectl apply."
        " The missing annotation will be patched automatically.",
        file=sys.stderr,
    )

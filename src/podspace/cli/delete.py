"""``podspace delete``: ask for it, say so, and wait until the objects are gone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from podspace.cli import client, failure, flags, kubeconfig, objects
from podspace.kube.json import JSON

USAGE = """
Delete objects by name, by label, or by the manifests that made them.

  podspace delete TYPE NAME... | TYPE/NAME... | TYPE -l SELECTOR | TYPE --all
  podspace delete -f FILE

Examples:
  podspace delete pod nginx
  podspace delete -f pod.yaml --now
  podspace delete pods -l app=web --grace-period=5
"""
FLAGS = (
    flags.Flag("filename", "f", takes="FILE", many=True, help="what the manifests of a file, folder or URL describe"),
    flags.Flag("recursive", "R", help="folders with their subfolders"),
    flags.Flag("selector", "l", takes="SELECTOR", help="all with these labels"),
    flags.Flag("field-selector", takes="SELECTOR", help="all with these fields"),
    flags.Flag("all", help="all of the namespace"),
    flags.Flag("all-namespaces", "A", help="in all namespaces"),
    flags.Flag("grace-period", takes="SECONDS", default="-1", help="time to end, instead of the Pod's own"),
    flags.Flag("now", help="one second to end"),
    flags.Flag("force", help="with --grace-period=0: do not wait for the end"),
    flags.Flag("ignore-not-found", help="an object that is not there is no failure"),
    flags.Flag("wait", default="true", help="wait until it is gone (default true)"),
    flags.Flag("timeout", takes="DURATION", default="0s", help="how long to wait (default: for ever)"),
    flags.Flag("cascade", takes="MODE", default="background", bare="background", help="background, foreground or orphan"),
    flags.Flag("dry-run", takes="MODE", default="none", bare="client", help="none, client or server"),
    flags.Flag("output", "o", takes="FORMAT", help="name"),
    *flags.COMMON,
)
FORCED = (
    "Immediate deletion does not wait for confirmation that the running resource has been terminated."
    " The resource may continue to run on the cluster indefinitely."
)
POLICIES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan", "true": "Background", "false": "Orphan"}

Found = tuple[objects.Target, str]  # and its namespace


def run(argv: Sequence[str]) -> int:
    options = flags.parse("delete", USAGE, FLAGS, argv)
    body = _delete_options(options)
    with client.Client(kubeconfig.load(options)) as api:
        return _delete_all(options, api, body)


def _delete_all(options: flags.Options, api: client.Client, body: JSON) -> int:
    failures: list[failure.ServerFailure] = []
    deleted: list[tuple[Found, str]] = []
    for target, namespace in _targets(options, api, api.cluster.namespace):
        try:
            answer = _delete(options, api, target, namespace, body)
        except failure.ServerFailure as error:
            if error.code != 404 or not options.on("ignore-not-found"):
                failures.append(error)
            continue
        deleted.append(((target, namespace), _uid(answer)))
        print(_said(options, target, namespace), flush=True)
    if options.on("wait") and options.text("dry-run") == "none" and options.text("output") != "name" and not options.on("force"):
        _wait(options, api, deleted)
    for failed in failures:
        print(failed, file=sys.stderr)
    return 1 if failures else 0


def _delete_options(options: flags.Options) -> JSON:
    """The body of DELETE. Raises: failure.Failure for flags that contradict."""
    grace = options.number("grace-period")
    if options.on("now"):
        if grace != -1:
            raise failure.Failure("--now and --grace-period cannot be specified together")
        grace = 1
    if options.on("force"):
        if grace > 0:
            raise failure.Failure("--force and --grace-period greater than 0 cannot be specified together")
        grace = 0
        print(f"Warning: {FORCED}", file=sys.stderr)
    elif grace == 0:
        grace = 1  # as kubectl: without --force it waits, and there must be something to wait for
    if options.text("cascade") not in POLICIES:
        raise failure.Failure(f'invalid cascade value ({options.text("cascade")}). Must be "background", "foreground", or "orphan"')
    body: JSON = {"propagationPolicy": POLICIES[options.text("cascade")]}
    if grace >= 0:
        body["gracePeriodSeconds"] = grace
    if options.text("dry-run") == "server":
        body["dryRun"] = ["All"]
    return body


def _targets(options: flags.Options, api: client.Client, namespace: str) -> list[Found]:
    sources = options.texts("filename")
    if sources:
        from podspace.cli import manifests  # with YAML, which costs 15 ms

        read = manifests.read(sources, recursive=options.on("recursive"))
        return [(objects.of_object(manifest.obj, manifest.source), _own_namespace(manifest.obj, namespace)) for manifest in read]
    if not options.args:
        raise failure.Usage("You must provide one or more resources by argument or filename", "delete")
    found: list[Found] = []
    for target in objects.targets(options.args):
        if target.name:
            found.append((target, namespace))
        else:
            found += _selected(options, api, target, "" if options.on("all-namespaces") else namespace)
    if not found:
        print("No resources found", file=sys.stderr)
    return found


def _selected(options: flags.Options, api: client.Client, target: objects.Target, namespace: str) -> list[Found]:
    wanted = {"labelSelector": options.text("selector"), "fieldSelector": options.text("field-selector")}
    pairs = [(name, value) for name, value in wanted.items() if value]
    if not pairs and not options.on("all"):
        raise failure.Failure("resource(s) were provided, but no name was specified")
    items = api.get(objects.path(target, namespace) + client.query(pairs)).get("items") or ()
    return [
        (objects.Target(resource=target.resource, name=item["metadata"]["name"]), item["metadata"].get("namespace", "")) for item in items
    ]


def _own_namespace(obj: JSON, namespace: str) -> str:
    return str((obj.get("metadata") or {}).get("namespace") or namespace)


def _delete(options: flags.Options, api: client.Client, target: objects.Target, namespace: str, body: JSON) -> JSON:
    path = objects.path(target, namespace)
    return api.get(path) if options.text("dry-run") == "client" else api.request("DELETE", path, body)


def _uid(answer: JSON) -> str:
    """Some kinds answer the object, some a Status about it."""
    return str((answer.get("metadata") or {}).get("uid") or (answer.get("details") or {}).get("uid") or "")


def _said(options: flags.Options, target: objects.Target, namespace: str) -> str:
    if options.text("output") == "name":
        return target.label
    how = "force deleted" if options.on("force") else "deleted"
    where = f" from {namespace} namespace" if target.resource.namespaced else ""
    dry = {"client": " (dry run)", "server": " (server dry run)"}.get(options.text("dry-run"), "")
    return f'{objects.prefix(target.resource)} "{target.name}" {how}{where}{dry}'


def _wait(options: flags.Options, api: client.Client, deleted: Sequence[tuple[Found, str]]) -> None:
    """Raises: failure.Failure naming the first that is still there when the time is over."""
    seconds = options.seconds("timeout")
    deadline = time.monotonic() + seconds if seconds > 0 else None
    for (target, namespace), uid in deleted:
        try:
            await_absence(api, objects.path(target, namespace), uid=uid, deadline=deadline)
        except TimeoutError:
            message = f"timed out waiting for the condition on {target.resource.plural}/{target.name}"
            raise failure.Failure(message) from None


def await_absence(api: client.Client, path: str, *, uid: str = "", deadline: float | None = None) -> None:
    """Return once the object of this path (and uid) is gone.  Raises: TimeoutError at ``deadline`` (monotonic seconds)."""
    while not _gone(api, path, uid, deadline):
        pass


def _gone(api: client.Client, path: str, uid: str, deadline: float | None) -> bool:
    """Look, then watch from there; False when the watch ended without telling, to look again."""
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError
    try:
        obj = api.get(path)
    except failure.ServerFailure as error:
        if error.code == 404:
            return True
        raise
    if uid and obj["metadata"]["uid"] != uid:
        return True
    collection, _, name = path.rpartition("/")
    pairs = [("fieldSelector", f"metadata.name={name}"), ("resourceVersion", obj["metadata"]["resourceVersion"]), ("watch", "true")]
    response = api.stream(collection + client.query(pairs))
    try:
        if deadline is not None:
            response.connection.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        return any(json.loads(line)["type"] == "DELETED" for line in response.lines())
    finally:
        response.connection.sock.close()

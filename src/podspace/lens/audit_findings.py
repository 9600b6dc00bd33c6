"""What is worth saying of a Pod whose containers see each other: findings with a severity and the field to change. Pure.

Called by ``audit`` with the manifest, the matrix and facts of the images. Values of secrets are never part of a finding: only names
and fields are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.lens import audit_images, audit_manifest, audit_rules

SEVERITIES = ("high", "medium", "low")
_SECRET_NAME = re.compile(r"(?i)(passw(or)?d|passwd|secret|token|api_?key|private_?key|credential)")
_KILLS_INIT = re.compile(r"\bkill\s+(?:-\S+\s+(?:[\w+]+\s+)?)*1(?:\s|;|&|\||$)")
_REFERENCE = re.compile(r"\$\(([A-Za-z_][\w.-]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``rule`` names the kind for machines (SARIF); ``field`` is the path in the manifest to change."""

    rule: str
    severity: str
    field: str
    message: str
    container: str

    def as_json(self) -> JSON:
        return {"rule": self.rule, "severity": self.severity, "field": self.field, "message": self.message, "container": self.container}


Matrix = Mapping[tuple[str, str], audit_rules.Verdicts]


def findings(pod: JSON, matrix: Matrix, images: Mapping[str, audit_manifest.ImageFacts]) -> list[Finding]:
    """Worst first. A Pod whose containers do not see each other has only what is about one container."""
    placed = list(audit_manifest.containers(pod))
    secret_volumes = _secret_volumes(pod)
    found: list[Finding] = []
    for each in placed:
        readers = _Readers(each.name, matrix)
        found += _environment(each, readers)
        found += _arguments(each, readers)
        found += _volumes(each, readers, secret_volumes, placed)
        found += _powers(each, pod, matrix)
        if audit_manifest.shares(pod):
            found += _inits(each, pod, images.get(each.name, audit_manifest.ImageFacts()))
            found += _kills(each)
    found += _same_ids(placed, matrix)
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


class _Readers:
    """Which neighbours may do something to one container."""

    def __init__(self, target: str, matrix: Matrix) -> None:
        self._rows = [(actor, verdict) for (actor, other), verdict in matrix.items() if other == target]

    def who(self, ability: str) -> str:
        """Names joined, "" for nobody."""
        return ", ".join(actor for actor, verdict in self._rows if not getattr(verdict, ability))


def _environment(placed: audit_manifest.Placed, readers: _Readers) -> Iterator[Finding]:
    who = readers.who("environment")
    if not who:
        return
    for number, entry in enumerate(placed.raw.get("env") or ()):
        if _is_secret(entry):
            yield Finding(
                rule="secret-in-environment",
                severity="high",
                field=f"{placed.field}.env[{number}]",
                message=f"{who} can read the secret variable {entry.get('name')} of {placed.name} in /proc; "
                "mount it as a file that only this container's uid reads, and give the containers different uids",
                container=placed.name,
            )
    for number, entry in enumerate(placed.raw.get("envFrom") or ()):
        if entry.get("secretRef"):
            yield Finding(
                rule="secret-in-environment",
                severity="high",
                field=f"{placed.field}.envFrom[{number}].secretRef",
                message=f"{who} can read every variable of Secret {entry['secretRef'].get('name')} in {placed.name}'s environment; "
                "give the containers different uids, or do not share the process namespace",
                container=placed.name,
            )


def _is_secret(entry: JSON) -> bool:
    if (entry.get("valueFrom") or {}).get("secretKeyRef"):
        return True
    return bool(entry.get("value")) and bool(_SECRET_NAME.search(str(entry.get("name", ""))))


def _arguments(placed: audit_manifest.Placed, readers: _Readers) -> Iterator[Finding]:
    who = readers.who("arguments")
    if not who:
        return
    secrets = {str(entry.get("name")) for entry in placed.raw.get("env") or () if _is_secret(entry)}
    for key in ("command", "args"):
        words = [str(word) for word in placed.raw.get(key) or ()]
        for number, word in enumerate(words):
            if _shows_secret(word, words[number - 1] if number else "", secrets):
                yield Finding(
                    rule="secret-in-arguments",
                    severity="high",
                    field=f"{placed.field}.{key}[{number}]",
                    message=f"{who} can see this secret among {placed.name}'s arguments, whatever their uid; pass it in a file",
                    container=placed.name,
                )


def _shows_secret(word: str, before: str, secrets: set[str]) -> bool:
    if secrets & set(_REFERENCE.findall(word)):
        return True
    name, equals, value = word.partition("=")
    if word.startswith("-") and equals and value:
        return bool(_SECRET_NAME.search(name)) and "file" not in name.lower()
    is_flag = before.startswith("--") and "=" not in before and "file" not in before.lower()
    return is_flag and bool(_SECRET_NAME.search(before)) and not word.startswith("-")


def _secret_volumes(pod: JSON) -> dict[str, str]:
    """Volume to Secret."""
    found: dict[str, str] = {}
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("secret"):
            found[str(volume.get("name"))] = str(volume["secret"].get("secretName"))
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("secret"):
                found[str(volume.get("name"))] = str(source["secret"].get("name"))
    return found


def _volumes(
    placed: audit_manifest.Placed, readers: _Readers, secrets: Mapping[str, str], all_placed: Sequence[audit_manifest.Placed]
) -> Iterator[Finding]:
    who = readers.who("files").split(", ")
    for number, mount in enumerate(placed.raw.get("volumeMounts") or ()):
        volume = mount.get("name")
        has_it = {each.name for each in all_placed if any(own.get("name") == volume for own in each.raw.get("volumeMounts") or ())}
        others = [name for name in who if name and name not in has_it]
        if volume in secrets and others:
            yield Finding(
                rule="secret-volume-through-root",
                severity="high",
                field=f"{placed.field}.volumeMounts[{number}]",
                message=f"{', '.join(others)} can read Secret {secrets[volume]} through /proc/<pid>/root of {placed.name} at "
                f"{mount.get('mountPath')} without mounting it; give the containers different uids and no SYS_PTRACE",
                container=placed.name,
            )


def _powers(placed: audit_manifest.Placed, pod: JSON, matrix: Matrix) -> Iterator[Finding]:
    security = placed.raw.get("securityContext") or {}
    spec = pod.get("spec") or {}
    if security.get("privileged"):
        yield Finding(
            rule="privileged",
            severity="high",
            field=f"{placed.field}.securityContext.privileged",
            message=f"{placed.name} is privileged: it can do anything to its neighbours and to the node",
            container=placed.name,
        )
        return
    added = [str(name).upper().removeprefix("CAP_") for name in (security.get("capabilities") or {}).get("add") or ()]
    strong = [name for name in added if name in ("SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH", "ALL")]
    others = [target for (actor, target) in matrix if actor == placed.name]
    if strong and (others or spec.get("hostPID")):
        whom = "every process of the node" if spec.get("hostPID") else ", ".join(others)
        yield Finding(
            rule="powerful-capability",
            severity="high" if spec.get("hostPID") else "medium",
            field=f"{placed.field}.securityContext.capabilities.add",
            message=f"{placed.name} has {', '.join(strong)}, with which it can look into the memory and files of {whom}",
            container=placed.name,
        )


def _inits(placed: audit_manifest.Placed, pod: JSON, image: audit_manifest.ImageFacts) -> Iterator[Finding]:
    command = [str(word) for word in placed.raw.get("command") or ()]
    words = command or [*image.entrypoint, *[str(word) for word in placed.raw.get("args") or image.cmd]]
    name = audit_images.init_name(words) or ("" if command else image.init)
    field = "spec.hostPID" if (pod.get("spec") or {}).get("hostPID") else "spec.shareProcessNamespace"
    if name in audit_images.INITS or name == "catatonit":
        yield Finding(
            rule="needs-pid-1",
            severity="high",
            field=field,
            message=f"{placed.name} starts {name}, which will not be PID 1 here: {_why(name)}; do not share, or start the program itself",
            container=placed.name,
        )
    elif name and not ("tini" in name and "-s" in words):
        yield Finding(
            rule="reaps-only-as-pid-1",
            severity="low",
            field=field,
            message=f"{placed.name}: {_why(name)}; /pause reaps here, so that is only a warning of it in the log",
            container=placed.name,
        )


def _why(name: str) -> str:
    return audit_images.INITS.get(name) or audit_images.REAPERS[name]


def _kills(placed: audit_manifest.Placed) -> Iterator[Finding]:
    for field, words in _scripts(placed.raw):
        if any(_KILLS_INIT.search(str(word)) for word in words) or _is_kill_one(words):
            yield Finding(
                rule="signals-pid-1",
                severity="medium",
                field=f"{placed.field}.{field}",
                message=f"{placed.name} signals process 1, which is not its own program here but /pause (or the node's init): find the "
                "program by name, or use podspace signal",
                container=placed.name,
            )


def _is_kill_one(words: Sequence[object]) -> bool:
    texts = [str(word) for word in words]
    return bool(texts) and texts[0].rpartition("/")[2] == "kill" and texts[-1] == "1"


def _scripts(raw: JSON) -> Iterator[tuple[str, Sequence[object]]]:
    yield "command", raw.get("command") or ()
    yield "args", raw.get("args") or ()
    for hook, handler in (raw.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            yield f"lifecycle.{hook}.exec.command", (handler.get("exec") or {}).get("command") or ()
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield f"{probe}.exec.command", ((raw.get(probe) or {}).get("exec") or {}).get("command") or ()


def _same_ids(placed: Sequence[audit_manifest.Placed], matrix: Matrix) -> Iterator[Finding]:
    """Two that may read each other's files both ways: nothing of Unix is between them."""
    for number, each in enumerate(placed):
        for other in placed[number + 1 :]:
            there, back = matrix.get((each.name, other.name)), matrix.get((other.name, each.name))
            if there is not None and back is not None and not there.files and not back.files:
                yield Finding(
                    rule="no-boundary",
                    severity="medium",
                    field=f"{other.field}.securityContext.runAsUser",
                    message=f"{each.name} and {other.name} can read each other's files and environment: nothing is between them but "
                    "their mounts; run them as different uids",
                    container=other.name,
                )

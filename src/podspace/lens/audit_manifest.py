"""The containers of a Pod's manifest as parties of the audit: who each will run as, with what, and in which process namespace.

Pure. Called by ``audit``, for a manifest before it runs. What only the image knows (its user, its program) comes in ``ImageFacts``; without
it a container without runAsUser counts as root, which is what an image without USER is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.lens import audit_filter, audit_rules, model
from podspace.oci import capabilities

_GROUPS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What was read of a container's image: whom it runs as, and what it starts. ``known`` False: the image is not here."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    init: str = ""  # the program its first word leads to, when that is an init known to insist on PID 1
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A container and where it stands in the manifest: ``spec.containers[0]``."""

    name: str
    field: str
    raw: JSON


def containers(pod: JSON) -> Iterator[Placed]:
    """Every container that can run beside others: sidecars too, init containers that end before them not."""
    spec = pod.get("spec") or {}
    for group in _GROUPS:
        for number, raw in enumerate(spec.get(group) or ()):
            if group != "initContainers" or raw.get("restartPolicy") == "Always":
                yield Placed(name=str(raw.get("name", "")), field=f"spec.{group}[{number}]", raw=raw)


def shares(pod: JSON) -> bool:
    """Whether containers see each other's processes at all."""
    spec = pod.get("spec") or {}
    return bool(spec.get("shareProcessNamespace") or spec.get("hostPID"))


def own_profile(placed: Placed, pod: JSON) -> str:
    """The file of its ``Localhost`` seccomp profile, "" if it has none."""
    of_pod = (pod.get("spec") or {}).get("securityContext") or {}
    profile = (placed.raw.get("securityContext") or {}).get("seccompProfile") or of_pod.get("seccompProfile") or {}
    return str(profile.get("localhostProfile") or "") if profile.get("type") == "Localhost" else ""


def parties(
    pod: JSON, images: Mapping[str, ImageFacts], available: Sequence[str] = capabilities.NAMES, filters: audit_filter.Filters | None = None
) -> list[audit_rules.Party]:
    """One for each container. ``images`` and ``filters`` by container name; ``available``: what this machine can give."""
    spec, filters = pod.get("spec") or {}, filters or {}
    return [
        _party(placed, spec, images.get(placed.name, ImageFacts()), available, audit_filter.refused(filters.get(placed.name, {})))
        for placed in containers(pod)
    ]


def _party(placed: Placed, spec: JSON, image: ImageFacts, available: Sequence[str], refused: frozenset[str]) -> audit_rules.Party:
    own, of_pod = placed.raw.get("securityContext") or {}, spec.get("securityContext") or {}
    uid = _number(own.get("runAsUser"), of_pod.get("runAsUser"), image.uid)
    gid = _number(own.get("runAsGroup"), of_pod.get("runAsGroup"), image.gid)
    wanted = own.get("capabilities") or {}
    names = capabilities.resolve(
        add=wanted.get("add") or (), drop=wanted.get("drop") or (), privileged=bool(own.get("privileged")), available=available
    )
    # Another uid than 0 loses them when its program starts: nothing is ambient (capabilities(7), execve).
    held = audit_rules.mask(*names) if uid == 0 else 0
    return audit_rules.Party(
        name=placed.name,
        uids=(uid, uid, uid, uid),
        gids=(gid, gid, gid, gid),
        groups=(*(of_pod.get("supplementalGroups") or ()), *image.groups),
        effective=held,
        permitted=held,
        pidns=_pidns(placed, spec),
        userns=("node",) if spec.get("hostUsers") is not False else ("node", "pod"),
        refused_calls=frozenset() if own.get("privileged") else refused,
    )


def _pidns(placed: Placed, spec: JSON) -> tuple[str, ...]:
    if spec.get("hostPID"):
        return ("node",)
    if spec.get("shareProcessNamespace"):
        return ("node", model.PAUSE)
    return ("node", str(placed.raw.get("targetContainerName") or placed.name))


def _number(*values: object) -> int:
    return next((value for value in values if isinstance(value, int)), 0)

"""Which container of a Pod is meant, and whether there is anything to talk to yet.

Called by ``exec`` and ``logs`` before the backend. Pure.
"""

from __future__ import annotations

from podspace import errors
from podspace.kube.json import JSON


def names(pod: JSON) -> list[str]:
    """Init containers first, ephemeral ones last."""
    spec = pod.get("spec") or {}
    fields = ("initContainers", "containers", "ephemeralContainers")
    return [str(container["name"]) for field in fields for container in spec.get(field) or ()]


def choose(pod: JSON, asked: str) -> str:
    """The container that is meant: the only one beside init and ephemeral ones, if none is named.  Raises: BadRequest."""
    name, known = pod["metadata"]["name"], names(pod)
    if asked:
        if asked not in known:
            raise errors.BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    plain = pod["spec"]["containers"]
    if len(plain) != 1:
        raise errors.BadRequest(f"a container name must be specified for pod {name}, choose one of: [{' '.join(known)}]")
    return str(plain[0]["name"])


def is_scheduled(pod: JSON) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName"))


def require_scheduled(pod: JSON) -> None:
    """Raises: BadRequest."""
    if not is_scheduled(pod):
        raise errors.BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")

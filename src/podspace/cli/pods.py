"""What exec, attach, logs, cp and debug have in common: which Pod, which container, said as kubectl says it."""

from __future__ import annotations

import sys

from podspace.cli import client, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podspace.kube.json import JSON

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def path(namespace: str, name: str, subresource: str = "") -> str:
    """The API path of a Pod."""
    tail = f"/{subresource}" if subresource else ""
    return f"/api/v1/namespaces/{client.quote(namespace)}/pods/{client.quote(name)}{tail}"


def name_of(argument: str) -> str:
    """``nginx``, ``pod/nginx``, ``pods/nginx`` or ``po/nginx`` to ``nginx``. Raises: failure.Failure for other kinds."""
    kind, slash, name = argument.rpartition("/")
    if slash and kind not in ("pod", "pods", "po"):
        raise failure.Failure(f"{argument}: only Pods have containers here; give a Pod's name")
    if not name:
        raise failure.Failure("arguments in resource/name form must have a single resource and name")
    return name


def get(api: client.Client, name: str) -> JSON:
    return api.get(path(api.cluster.namespace, name))


def containers(pod: JSON) -> list[tuple[str, str]]:
    """Names of all containers, each with "", "init" or "ephem"."""
    spec = pod["spec"]
    found = [(container["name"], "") for container in spec.get("containers") or ()]
    found += [(container["name"], "init") for container in spec.get("initContainers") or ()]
    return found + [(container["name"], "ephem") for container in spec.get("ephemeralContainers") or ()]


def container(pod: JSON, wanted: str, *, quiet: bool = False) -> str:
    """The container meant: the one named, the annotation's, or the first; says which if there was a choice.

    Raises: failure.Failure when the Pod has none of that name.
    """
    known = containers(pod)
    names = [name for name, _ in known]
    pod_name = pod["metadata"]["name"]
    if wanted:
        if wanted not in names:
            raise failure.Failure(f"container {wanted} is not valid for pod {pod_name} out of: {_listed(known)}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if annotated in names:
        return str(annotated)
    if len(names) > 1 and not quiet:
        print(f'Defaulted container "{names[0]}" out of: {_listed(known)}', file=sys.stderr)
    return str(names[0])


def refuse_finished(pod: JSON, verb: str) -> None:
    """Raises: failure.Failure when all containers have ended for good."""
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise failure.Failure(f"cannot {verb} a container in a completed pod; current phase is {phase}")


def spec_of(pod: JSON, name: str) -> JSON:
    """The container's own part of the spec, {} if there is none."""
    spec = pod["spec"]
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for entry in spec.get(group) or ():
            if entry["name"] == name:
                found: JSON = entry
                return found
    return {}


def _listed(known: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({mark})" if mark else name for name, mark in known)

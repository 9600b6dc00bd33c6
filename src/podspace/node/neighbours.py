"""The Pods of this node as each other's neighbours: which are alive, what is allocated to each, and how they share the CPU.

A Pod whose resize is not granted keeps what it had: its status says what that is, so what is allocated can be read off the object alone.
Called by the scheduler, by a worker that admits or resizes its Pod, and whenever a Pod begins or ends (``weigh``).
Source: component-helpers resource.PodRequests (UseStatusResources); kubelet pkg/kubelet/cm/qos_container_manager_linux.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from podspace.kube import qos
from podspace.kube.json import JSON
from podspace.node import resources
from podspace.runtime.engine import Engine
from podspace.store.store import Store

WHOLE = ""  # stands for the Pod as a whole where containers go by their names
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"


def is_over(pod: JSON) -> bool:
    """Whether nothing of the Pod will ever run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def gives_way(pod: JSON, previous: JSON | None) -> bool:
    """Whether a change of a Pod may have made room for others."""
    if previous is None or not previous["spec"].get("nodeName"):
        return False
    return previous["spec"] != pod["spec"] or (is_over(pod) and not is_over(previous))


def of(store: Store, pod: JSON | None = None) -> list[JSON]:
    """Every Pod that holds a part of the node, but for the one given, each with what is allocated to it."""
    own = pod["metadata"]["uid"] if pod is not None else ""
    others = (other for other in store.list("pods")[0] if other["metadata"]["uid"] != own)
    return [allocated(other) for other in others if other["spec"].get("nodeName") and not is_over(other)]


def admitted(store: Store, pod: JSON) -> Iterator[JSON]:
    """Those that the node has taken on before the one given."""
    return (other for other in of(store, pod) if (other.get("status") or {}).get("startTime"))


def allocated(pod: JSON) -> JSON:
    """The Pod with the resources it has, which are not those of its spec while a resize waits."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if not any(condition["type"] == PENDING for condition in conditions):
        return pod
    return with_resources(pod, of_status(pod))


def of_status(pod: JSON) -> dict[str, JSON]:
    """Container name (``WHOLE``: the Pod) -> the resources that the status says it has; those that never ran are left out."""
    status = pod.get("status") or {}
    entries = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    if pod["spec"].get("resources"):  # else they are what its containers have
        entries.append(status | {"name": WHOLE})
    return {entry["name"]: _resources(entry) for entry in entries if "resources" in entry}


def _resources(entry: JSON) -> JSON:
    limits = (entry.get("resources") or {}).get("limits")
    found = {"limits": limits, "requests": entry.get("allocatedResources")}
    return {side: values for side, values in found.items() if values}


def with_resources(pod: JSON, wanted: dict[str, JSON]) -> JSON:
    """The Pod with other resources of some containers; what is no part of a resize (claims) stays."""
    spec = _replaced(pod["spec"], WHOLE, wanted) if pod["spec"].get("resources") else dict(pod["spec"])
    for field in ("initContainers", "containers"):
        if spec.get(field):
            spec[field] = [_replaced(container, container["name"], wanted) for container in spec[field]]
    return pod | {"spec": spec}


def _replaced(holder: JSON, name: str, wanted: dict[str, JSON]) -> JSON:
    if name not in wanted:
        return holder
    kept = {name: value for name, value in (holder.get("resources") or {}).items() if name not in ("limits", "requests")}
    return holder | {"resources": kept | wanted[name]}


def weigh(store: Store, engine: Engine, spec: JSON) -> None:
    """Give the group of Pods like this one its part of the CPU: burstable ones what they ask for together, best effort what is left."""
    match qos.qos_class(spec):
        case "BestEffort":
            engine.share_group(resources.GROUPS["BestEffort"], resources.MIN_SHARES)
        case "Burstable":
            engine.share_group(resources.GROUPS["Burstable"], resources.burstable_shares(pod["spec"] for pod in of(store)))

"""How much of the node a Pod asks for, how much it may use, and whether that is left: the scheduler's NodeResourcesFit. Pure.

Source: kube-scheduler pkg/scheduler/framework/plugins/noderesources/fit.go; component-helpers resource.PodRequests and PodLimits
(KEP-753 for sidecars, KEP-2837 for resources of a whole Pod).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from podspace.kube import quantity
from podspace.kube.json import JSON

Side = Literal["requests", "limits"]
_ORDER = ("cpu", "memory", "ephemeral-storage")  # those first, others as they are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the Pods of a node hold together, and how many they are."""

    amounts: Counter[str]
    pods: int


def load(others: Iterable[JSON]) -> Load:
    """Of all of these."""
    used: Counter[str] = Counter()
    count = 0
    for other in others:
        used.update(of_pod(other["spec"]))
        count += 1
    return Load(amounts=used, pods=count)


def insufficient(pod: JSON, held: Load, node: JSON) -> list[str]:
    """Return the scheduler's words for what the node lacks, none if the Pod fits beside what is held already."""
    room, wanted = allocatable(node), of_pod(pod["spec"])
    crowded = ["Too many pods"] if "pods" in room and held.pods + 1 > room["pods"] else []
    return crowded + [f"Insufficient {name}" for name in _sorted(wanted) if wanted[name] + held.amounts[name] > room.get(name, 0)]


def lacking(pod: JSON, others: Iterable[JSON], node: JSON) -> tuple[str, str] | None:
    """Return reason and message of a kubelet that refuses a Pod bound to it for want of room, None if it fits."""
    room, wanted, held = allocatable(node), of_pod(pod["spec"]), load(others)
    wanted["pods"] = 1
    used = held.amounts + Counter(pods=held.pods)
    for name in ("pods", *_sorted(wanted)):
        if wanted[name] + used[name] > room.get(name, 0):
            return f"OutOf{name}", f"Node didn't have enough resource: {shortage(name, wanted[name], used[name], room.get(name, 0))}"
    return None


def shortage(name: str, requested: int, used: int, capacity: int) -> str:
    """Source: kubelet pkg/kubelet/lifecycle/predicate.go InsufficientResourceError."""
    return f"{name}, requested: {requested}, used: {used}, capacity: {capacity}"


def allocatable(node: JSON) -> Counter[str]:
    """What the node has for Pods, in the units of ``amount``."""
    has = (node.get("status") or {}).get("allocatable") or {}
    return Counter({name: amount(name, value) for name, value in has.items()})


def _sorted(wanted: Counter[str]) -> list[str]:
    named = [name for name in wanted if wanted[name]]
    return sorted(named, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def of_pod(spec: JSON) -> Counter[str]:
    """The most a Pod asks for at once, its overhead included."""
    return total(spec, "requests") + amounts(spec.get("overhead") or {})


def total(spec: JSON, side: Side) -> Counter[str]:
    """Of containers and sidecars together, or of an init container beside the sidecars before it; what the Pod says as a whole wins.

    A limit counts only if something of the Pod has it; that the others have none is for the caller to ask (``all_have``).
    """
    found = _of_containers(spec, side)
    whole = amounts((spec.get("resources") or {}).get(side) or {})
    for name, value in whole.items():
        found[name] = value
    return found


def all_have(spec: JSON, name: str) -> bool:
    """Whether the Pod as a whole or each of its containers has a limit of this: then the sum is a limit of the Pod."""
    if _limit(spec, name):
        return True
    return all(_limit(container, name) for field in ("initContainers", "containers") for container in spec.get(field) or ())


def _limit(holder: JSON, name: str) -> int:
    return amount(name, ((holder.get("resources") or {}).get("limits") or {}).get(name, "0"))


def _of_containers(spec: JSON, side: Side) -> Counter[str]:
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars += _of_container(container, side)
            peak |= sidecars
        else:
            peak |= sidecars + _of_container(container, side)
    together = sidecars.copy()
    for container in spec["containers"]:
        together += _of_container(container, side)
    return together | peak


def _of_container(container: JSON, side: Side) -> Counter[str]:
    return amounts((container.get("resources") or {}).get(side) or {})


def amounts(values: JSON) -> Counter[str]:
    """A list of resources as the API has it."""
    return Counter({name: amount(name, value) for name, value in values.items()})


def amount(name: str, value: object) -> int:
    """CPU in thousandths, anything else in whole units."""
    parsed = quantity.parse(str(value))
    return parsed.milli_value if name == "cpu" else parsed.value

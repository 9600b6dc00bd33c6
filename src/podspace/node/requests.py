"""How much of the node a Pod asks for, and whether that is left: the scheduler's NodeResourcesFit. Pure.

Source: kube-scheduler pkg/scheduler/framework/plugins/noderesources/fit.go; component-helpers resource.PodRequests (KEP-753 for sidecars).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from podspace.kube import quantity
from podspace.kube.json import JSON

_COUNTED = ("cpu", "memory", "ephemeral-storage")


def insufficient(pod: JSON, others: Iterable[JSON], node: JSON) -> str | None:
    """Return a scheduler's words for what the node lacks, None if the Pod fits beside ``others`` (which run on the node)."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    wanted = of_pod(pod["spec"])
    used: Counter[str] = Counter()
    for other in others:
        used.update(of_pod(other["spec"]))
    short = [
        name for name in wanted if wanted[name] and name in allocatable and wanted[name] + used[name] > _amount(name, allocatable[name])
    ]
    return f"{', '.join(f'1 Insufficient {name}' for name in short)}." if short else None


def of_pod(spec: JSON) -> Counter[str]:
    """The most a Pod asks for at once: its containers and sidecars, or an init container beside the sidecars before it."""
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars += _of_container(container)
            peak |= sidecars
        else:
            peak |= sidecars + _of_container(container)
    total = sidecars.copy()
    for container in spec["containers"]:
        total += _of_container(container)
    overhead = spec.get("overhead") or {}
    return (total | peak) + Counter({name: _amount(name, overhead[name]) for name in _COUNTED if name in overhead})


def _of_container(container: JSON) -> Counter[str]:
    requests = (container.get("resources") or {}).get("requests") or {}
    return Counter({name: _amount(name, requests[name]) for name in _COUNTED if name in requests})


def _amount(name: str, value: object) -> int:
    """CPU in thousandths, the others in bytes."""
    parsed = quantity.parse(str(value))
    return parsed.milli_value if name == "cpu" else parsed.value

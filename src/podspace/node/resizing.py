"""Resizing a Pod in place: what is allocated to its containers, whether more can be, and how that is told. Pure.

The spec says what is wanted (``pods/resize`` writes it); a resize that the node has no room for waits, and the containers keep what they
have, also when they are restarted. ``resizer`` does what is decided here. Source: KEP-1287; kubelet pkg/kubelet/allocation,
pkg/kubelet/events (PodResize*Msg), pkg/kubelet/kuberuntime computePodResizeAction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from podspace.kube.json import JSON
from podspace.node import neighbours, requests
from podspace.runtime import model

_SIDES = ("limits", "requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Why a resize waits: ``Deferred`` (for others to leave) or ``Infeasible`` (for another spec)."""

    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class Resize:
    """What a worker knows of its Pod's resizes. ``allocated`` and ``actual``: as ``of_spec``."""

    allocated: dict[str, JSON] = field(default_factory=dict)
    actual: dict[str, JSON] = field(default_factory=dict)  # those the containers run with; one that is not named has its allocation
    pending: Pending | None = None
    generation: int = 0  # of the spec that was last looked at
    in_progress: bool = False
    error: str = ""
    restarting: dict[str, str] = field(default_factory=dict)  # container -> the id it had when it was to be restarted
    unsettled: bool = True  # a container may run with other resources than are allocated to it

    def view(self, raw: JSON) -> JSON:
        """The Pod as it may be run now."""
        return neighbours.with_resources(raw, self.allocated) if self.differs(raw) else raw

    def differs(self, raw: JSON) -> bool:
        """Whether the spec asks for something else than is allocated."""
        return any(self.allocated.get(name, wanted) != wanted for name, wanted in of_spec(raw).items())

    def grant(self, raw: JSON) -> None:
        """Allocate what the spec asks for."""
        self.actual = self.allocated | self.actual
        self.allocated = of_spec(raw)
        self.pending, self.error = None, ""
        self.in_progress = self.unsettled = True


def begin(raw: JSON) -> Resize:
    """What a worker starts from: what the status says the containers have, else what the spec says."""
    return Resize(allocated=of_spec(raw) | neighbours.of_status(raw))


def of_spec(raw: JSON) -> dict[str, JSON]:
    """Container name -> requests and limits, of all that can be resized; "" is the whole Pod, if it has its own."""
    spec = raw["spec"]
    containers = (container for key in ("initContainers", "containers") for container in spec.get(key) or ())
    found = {container["name"]: _amounts(container) for container in containers}
    return found | ({neighbours.WHOLE: _amounts(spec)} if spec.get("resources") else {})


def _amounts(holder: JSON) -> JSON:
    return {side: values for side in _SIDES if (values := (holder.get("resources") or {}).get(side))}


def misfit(raw: JSON, others: Iterable[JSON], node: JSON) -> Pending | None:
    """Return why the node cannot give the Pod what its spec asks for, None if it can."""
    room, asked = requests.allocatable(node), requests.of_pod(raw["spec"])
    for name in ("memory", "cpu"):
        if asked[name] > room[name]:
            message = f"Node didn't have enough capacity: {name}, requested: {asked[name]}, capacity: {room[name]}"
            return Pending(reason="Infeasible", message=message)
    lacking = requests.lacking(raw, others, node)
    return None if lacking is None else Pending(reason="Deferred", message=lacking[1])


def changed(before: model.Resources, wanted: model.Resources) -> frozenset[str]:
    """Which of cpu and memory a running container must be given anew."""
    cpu = ("cpu_shares", "cpu_quota_micros", "cpu_period_micros")
    found = {"cpu": cpu, "memory": ("memory_limit_bytes",)}
    return frozenset(name for name, fields in found.items() if any(getattr(before, f) != getattr(wanted, f) for f in fields))


def asked_anew(resize: Resize, name: str) -> frozenset[str]:
    """Which of cpu and memory the container has other requests of than it was started with."""
    before, after = (side.get(name, {}).get("requests", {}) for side in (resize.actual, resize.allocated))
    return frozenset(what for what in ("cpu", "memory") if name in resize.actual and before.get(what) != after.get(what))


def restarts(container: JSON, resources: frozenset[str]) -> bool:
    """Whether the container must be restarted for a change of these."""
    policies = {policy["resourceName"]: policy["restartPolicy"] for policy in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in resources)


def summary(raw: JSON, generation: int, error: str = "") -> str:
    """What events say of a resize: the wanted resources, as JSON."""
    told: JSON = {}
    for key in ("initContainers", "containers"):
        if raw["spec"].get(key):
            told[key] = [{"name": one["name"], "resources": one.get("resources") or {}} for one in raw["spec"][key]]
    told["generation"] = generation
    return json.dumps(told | ({"error": error} if error else {}), separators=(",", ":"))


def conditions(resize: Resize) -> list[JSON]:
    """Those of a Pod whose resize waits or is under way, without times."""
    found: list[JSON] = []
    if resize.pending is not None:
        found.append({"type": neighbours.PENDING, "reason": resize.pending.reason, "message": resize.pending.message})
    if resize.in_progress:
        found.append({"type": neighbours.IN_PROGRESS} | ({"reason": "Error", "message": resize.error} if resize.error else {}))
    return [condition | {"status": "True"} for condition in found]

"""A Pod's conditions: whether it is initialised and ready, and if not, why. Pure; part of ``status``.

Source: kubelet pkg/kubelet/status/generate.go; KEP-580 (readiness gates); KEP-5067 (observedGeneration); KEP-5532 (a restart of all).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.node import neighbours, resizing
from podspace.node.pod import Pod, Role
from podspace.node.resizing import Resize

_RESTARTING = "AllContainersRestarting"
_WhyNot = tuple[str, str]  # reason and message


def compute(
    pod: Pod,
    phase: str,
    inits: list[JSON],
    mains: list[JSON],
    before: Iterable[JSON],
    *,
    networked: bool,
    restarting: bool,
    resize: Resize,
    now: float,
) -> list[JSON]:
    """Return all conditions: those a kubelet owns anew, those of others (readiness gates, an eviction) as they are.

    ``networked``: the sandbox is up. ``now``: Unix seconds; a condition that did not change keeps its time.
    """
    known = {condition["type"]: condition for condition in before}
    unready = _unready(pod, inits, mains)
    containers = _why_not_ready(phase, unready)
    fresh = [
        _condition("PodReadyToStartContainers", None if networked else ("", "")),
        _initialized(pod, phase, inits, mains),
        _condition("Ready", containers or _gates(pod, known)),
        _condition("ContainersReady", containers),
        _condition("PodScheduled", None),  # the scheduler's word for it, or that of who named the node, has no generation
    ]
    if restarting or _RESTARTING in known:
        fresh.append(_condition(_RESTARTING, None if restarting else ("", "")))
    fresh += resizing.conditions(resize) if phase not in ("Succeeded", "Failed") else []
    dated = [_with_times(condition, known.get(condition["type"]), pod.generation, now) for condition in fresh]
    ours = {condition["type"] for condition in fresh} | {neighbours.PENDING, neighbours.IN_PROGRESS}
    return dated + [condition for kind, condition in known.items() if kind not in ours]


def incomplete(pod: Pod, inits: list[JSON]) -> list[str]:
    """The init containers that are not done; sidecars are once they have started."""
    return [
        container.name
        for container, status in zip(pod.init_containers, inits, strict=True)
        if not (status["started"] if container.role is Role.SIDECAR else status["ready"])
    ]


def _initialized(pod: Pod, phase: str, inits: list[JSON], mains: list[JSON]) -> JSON:
    waiting = incomplete(pod, inits)
    if phase == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    # Once a main container has started the Pod has been initialised, whatever its sidecars do since.
    if not waiting or any("waiting" not in s["state"] or (s.get("lastState") or {}).get("terminated") for s in mains):
        return _condition("Initialized", None)
    return _condition("Initialized", ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]"))


def _unready(pod: Pod, inits: list[JSON], mains: list[JSON]) -> list[str]:
    by_name: Mapping[str, JSON] = {status["name"]: status for status in mains}
    sidecars = [s for c, s in zip(pod.init_containers, inits, strict=True) if c.role is Role.SIDECAR]
    in_order = [*sidecars, *(by_name[container.name] for container in pod.containers)]
    return [str(status["name"]) for status in in_order if not status["ready"]]


def _why_not_ready(phase: str, unready: list[str]) -> _WhyNot | None:
    if phase == "Succeeded":
        return "PodCompleted", ""
    if phase == "Failed":
        return "PodFailed", ""
    return ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]") if unready else None


def _gates(pod: Pod, known: Mapping[str, JSON]) -> _WhyNot | None:
    """What a Pod's readiness gates lack: each names a condition that somebody else sets."""
    missing = []
    for gate in pod.spec.get("readinessGates") or ():
        kind = gate["conditionType"]
        found = known.get(kind)
        if found is None:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif found["status"] != "True":
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {found["status"]}')
    return ("ReadinessGatesNotReady", ", ".join(missing)) if missing else None


def _condition(kind: str, why_not: _WhyNot | None) -> JSON:
    condition: JSON = {"type": kind, "status": "True" if why_not is None else "False"}
    if why_not is not None:
        condition |= {key: text for key, text in zip(("reason", "message"), why_not, strict=True) if text}
    return condition


def _with_times(condition: JSON, before: JSON | None, generation: int, now: float) -> JSON:
    same = before is not None and before["status"] == condition["status"]
    since = before.get("lastTransitionTime") if same and before is not None else None
    return condition | {"observedGeneration": generation, "lastProbeTime": None, "lastTransitionTime": since or times.rfc3339(now)}

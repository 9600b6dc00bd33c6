"""A Pod's ``status``, as a kubelet would write it: pure, from the spec, what is observed, and the status before.

``worker`` calls ``compute`` after every step and writes the result if it differs. Container states live in
``container_status``, the phase in ``phase``; here they are put together with the conditions.
Source: kubelet pkg/kubelet/kubelet_pods.go (generateAPIPodStatus), pkg/kubelet/status/generate.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from podspace.kube import qos, times
from podspace.kube.json import JSON
from podspace.node import container_status, neighbours, resizing
from podspace.node.decide import Observed
from podspace.node.pod import Pod, RestartPolicy, Role
from podspace.node.resizing import Resize
from podspace.runtime.model import ContainerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a container waits, in the kubelet's vocabulary: ErrImagePull, CrashLoopBackOff, CreateContainerConfigError, ..."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a status is made of, besides the Pod itself."""

    observed: Observed
    previous: Mapping[str, ContainerStatus] = field(default_factory=dict)  # the instance before the newest one, per name
    problems: Mapping[str, Problem] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)  # container id -> termination message
    host_ips: tuple[str, ...] = ()
    now: float
    ended: bool = False  # the Pod is deleted and nothing of it runs
    resize: Resize = field(default_factory=Resize)


def compute(pod: Pod, facts: Facts) -> JSON:
    """Return the new ``status``. Times of conditions that did not change are kept."""
    old: JSON = pod.raw.get("status") or {}
    inits = [container_status.build(c, facts, waiting="PodInitializing") for c in pod.init_containers]
    default = "ContainerCreating" if _initialized(pod, inits) else "PodInitializing"
    mains = sorted((container_status.build(c, facts, waiting=default) for c in pod.containers), key=lambda s: str(s["name"]))
    ephemerals = [container_status.build(c, facts, waiting="ContainerCreating") for c in pod.ephemeral_containers]
    phase = _final(old.get("phase")) or compute_phase(pod, inits, mains, ended=facts.ended)
    status: JSON = {
        "observedGeneration": pod.generation,
        "phase": phase,
        "conditions": _conditions(pod, facts, phase, inits, mains, old),
        "startTime": old.get("startTime") or times.rfc3339(facts.now),
        "qosClass": old.get("qosClass") or qos.qos_class(pod.spec),
    }
    status |= {key: old[key] for key in ("reason", "message", "nominatedNodeName", "resize") if key in old}
    if facts.host_ips:
        status |= {"hostIP": facts.host_ips[0], "hostIPs": [{"ip": ip} for ip in facts.host_ips]}
    status |= _addresses(pod, facts, old)
    for key, statuses in (("initContainerStatuses", inits), ("containerStatuses", mains), ("ephemeralContainerStatuses", ephemerals)):
        if statuses:
            status[key] = statuses
    return status


def _final(phase: str | None) -> str | None:
    """A Pod that has succeeded or failed stays so."""
    return phase if phase in ("Succeeded", "Failed") else None


def _addresses(pod: Pod, facts: Facts, old: JSON) -> JSON:
    sandbox = facts.observed.sandbox
    own = sandbox.ips if sandbox is not None else ()
    ips = facts.host_ips if pod.host_network else own
    if not ips:
        return {key: old[key] for key in ("podIP", "podIPs") if key in old}
    return {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}


def compute_phase(pod: Pod, inits: list[JSON], mains: list[JSON], *, ended: bool = False) -> str:
    """Return Pending, Running, Succeeded or Failed (kubelet getPhase). ``ended``: only the latter two."""
    if ended:
        exits = [status["state"].get("terminated") for status in mains]
        return "Succeeded" if all(entry is not None and entry["exitCode"] == 0 for entry in exits) else "Failed"
    for container, status in zip(pod.init_containers, inits, strict=True):
        if container.role is Role.SIDECAR:
            continue
        terminated = status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated")
        if terminated is None or (terminated["exitCode"] != 0 and container.restart_policy is not RestartPolicy.NEVER):
            return "Pending"
        if terminated["exitCode"] != 0:
            return "Failed"
    running = stopped = succeeded = 0
    for status in mains:
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif (status.get("lastState") or {}).get("terminated"):
            stopped += 1
        else:
            return "Pending"
    if running:
        return "Running"
    return _phase_when_stopped(pod, stopped, succeeded)


def _phase_when_stopped(pod: Pod, stopped: int, succeeded: int) -> str:
    if any(c.restart_policy is RestartPolicy.ALWAYS for c in pod.containers):
        return "Running"
    if stopped == succeeded:
        return "Succeeded"
    return "Failed" if pod.restart_policy is RestartPolicy.NEVER else "Running"


def _initialized(pod: Pod, inits: list[JSON]) -> bool:
    return not _uninitialized(pod, inits)


def _uninitialized(pod: Pod, inits: list[JSON]) -> list[str]:
    return [
        container.name
        for container, status in zip(pod.init_containers, inits, strict=True)
        if not (status["started"] if container.role is Role.SIDECAR else status["ready"])
    ]


def _conditions(pod: Pod, facts: Facts, phase: str, inits: list[JSON], mains: list[JSON], old: JSON) -> list[JSON]:
    uninitialized = _uninitialized(pod, inits)
    sidecars = [s for c, s in zip(pod.init_containers, inits, strict=True) if c.role is Role.SIDECAR]
    unready = [str(status["name"]) for status in [*sidecars, *mains] if not status["ready"]]
    not_ready = _why_not_ready(phase, unready)
    before = {condition["type"]: condition for condition in old.get("conditions") or ()}
    fresh = [
        _condition("PodReadyToStartContainers", None if facts.observed.ready else ("", "")),
        _condition("Initialized", _why_not_initialized(phase, uninitialized)),
        _condition("Ready", not_ready),
        _condition("ContainersReady", not_ready),
        *(resizing.conditions(facts.resize) if not _final(phase) else ()),
    ]
    conditions = [_with_times(condition, before.get(condition["type"]), pod.generation, facts.now) for condition in fresh]
    ours = {condition["type"] for condition in fresh} | {neighbours.PENDING, neighbours.IN_PROGRESS}
    return conditions + [condition for kind, condition in before.items() if kind not in ours]


def _why_not_initialized(phase: str, uninitialized: list[str]) -> tuple[str, str] | None:
    if phase == "Succeeded" or not uninitialized:
        return None
    return "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(uninitialized)}]"


def _why_not_ready(phase: str, unready: Iterable[str]) -> tuple[str, str] | None:
    if phase == "Succeeded":
        return "PodCompleted", ""
    if phase == "Failed":
        return "PodFailed", ""
    names = " ".join(unready)
    return ("ContainersNotReady", f"containers with unready status: [{names}]") if names else None


def _condition(kind: str, why_not: tuple[str, str] | None) -> JSON:
    condition: JSON = {"type": kind, "status": "True" if why_not is None else "False"}
    if why_not is not None:
        condition |= {key: text for key, text in zip(("reason", "message"), why_not, strict=True) if text}
    return condition


def _with_times(condition: JSON, before: JSON | None, generation: int, now: float) -> JSON:
    same = before is not None and before["status"] == condition["status"]
    since = before.get("lastTransitionTime") if same and before is not None else None
    return condition | {"observedGeneration": generation, "lastProbeTime": None, "lastTransitionTime": since or times.rfc3339(now)}

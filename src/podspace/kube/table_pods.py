"""One Pod as a row: READY, STATUS and RESTARTS boil its whole status down to three words.

Called by ``table``. Pure; reads spec, status and deletionTimestamp of a Pod's JSON.
Source: the table printer of Kubernetes 1.36, as observed for some fifty statuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from podspace.kube import duration, times
from podspace.kube.json import JSON

NONE = "<none>"


@dataclass(slots=True)
class _Summary:
    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""  # RFC 3339, which sorts as text

    def count(self, container: JSON) -> None:
        self.restarts += container.get("restartCount", 0)
        finished = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


def cells(pod: JSON, age: str, now: float) -> list[Any]:
    """Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    summary = _summarize(pod, spec, status)
    total = len(spec.get("containers") or ()) + len(_sidecars(spec))
    ips = [entry.get("ip", "") for entry in status.get("podIPs") or ()] or [status.get("podIP", "")]
    return [
        pod["metadata"]["name"],
        f"{summary.ready}/{total}",
        summary.reason,
        _restarts(summary, now),
        age,
        ips[0] or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _restarts(summary: _Summary, now: float) -> str:
    if not summary.restarts or not summary.last_restart:
        return str(summary.restarts)
    return f"{summary.restarts} ({duration.human(now - times.parse(summary.last_restart))} ago)"


def _gates(spec: JSON, status: JSON) -> str:
    gates = spec.get("readinessGates") or ()
    met = sum(_is_true(status, gate["conditionType"]) for gate in gates)
    return f"{met}/{len(gates)}" if gates else NONE


def _summarize(pod: JSON, spec: JSON, status: JSON) -> _Summary:
    summary = _Summary(status.get("reason") or status.get("phase", ""))
    if any(_is_gated(condition) for condition in status.get("conditions") or ()):
        summary.reason = "SchedulingGated"
    running = _Summary("")  # what counts once initialization is over: sidecars and containers
    initialized = _initialize(summary, running, spec, status)
    if initialized or _is_true(status, "Initialized"):
        summary.restarts, summary.last_restart = running.restarts, running.last_restart
        _run(summary, status)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            summary.reason = "Terminating"
    return summary


def _initialize(summary: _Summary, running: _Summary, spec: JSON, status: JSON) -> bool:
    """Go through the init containers up to the first that is not done; return whether all are."""
    sidecars = _sidecars(spec)
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        is_sidecar = container["name"] in sidecars
        summary.count(container)
        if is_sidecar:
            running.count(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = "Init:" + _end(terminated)
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            summary.reason = "Init:" + waiting["reason"]
        else:
            summary.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        return False
    return True


def _run(summary: _Summary, status: JSON) -> None:
    """The first container's reason wins, so they are looked at from last to first."""
    has_running = False
    containers: Sequence[JSON] = status.get("containerStatuses") or ()
    for container in reversed(containers):
        summary.count(container)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _end(terminated)
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            summary.ready += 1
    if summary.reason == "Completed" and has_running:
        summary.reason = "Running" if _is_true(status, "Ready") else "NotReady"


def _end(terminated: JSON) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    return f"Signal:{terminated['signal']}" if terminated.get("signal") else f"ExitCode:{terminated.get('exitCode', 0)}"


def _sidecars(spec: JSON) -> set[str]:
    return {container["name"] for container in spec.get("initContainers") or () if container.get("restartPolicy") == "Always"}


def _is_gated(condition: JSON) -> bool:
    return bool(condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated")


def _is_true(status: JSON, condition_type: str) -> bool:
    return any(c.get("type") == condition_type and c.get("status") == "True" for c in status.get("conditions") or ())

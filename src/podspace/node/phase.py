"""A Pod's phase: pure, from its spec and its container statuses.

Part of ``status``. Source: kubelet pkg/kubelet/kubelet_pods.go getPhase.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.node.pod import Container, Pod, Role


@dataclass(slots=True)
class _Count:
    """How many containers are in which state. Sidecars that have ended count for nothing."""

    pending: int = 0  # init containers that are still to be done
    starting: int = 0  # sidecars that are not up yet
    lost: int = 0  # init containers that failed and are not tried again
    running: int = 0
    waiting: int = 0
    again: int = 0  # have ended and are about to start again
    stopped: int = 0
    succeeded: int = 0


def compute(pod: Pod, inits: list[JSON], mains: list[JSON], *, ended: bool = False, anew: Collection[str] = ()) -> str:
    """Return Pending, Running, Succeeded or Failed.

    ``ended``: nothing runs nor will, so it is one of the latter two. ``anew``: containers that start again whatever their policy.
    """
    if ended:
        exits = [status["state"].get("terminated") for status in mains]
        return "Succeeded" if all(entry is not None and entry["exitCode"] == 0 for entry in exits) else "Failed"
    count = _Count()
    started = any("waiting" not in status["state"] or _last(status) is not None for status in mains)
    for container, status in zip(pod.init_containers, inits, strict=True):
        (_sidecar if container.role is Role.SIDECAR else _init)(container, status, count)
    for status in mains:
        _main(pod.find(status["name"]), status, count, anew=status["name"] in anew)
    if count.lost:
        return "Failed"
    if count.waiting or count.pending or (count.starting and not started):
        return "Pending"
    if count.running or count.again:
        return "Running"
    return "Succeeded" if count.stopped == count.succeeded else "Failed"


def _last(status: JSON) -> JSON | None:
    last: JSON | None = (status.get("lastState") or {}).get("terminated")
    return last


def _init(container: Container, status: JSON, count: _Count) -> None:
    ended = status["state"].get("terminated") or (_last(status) if "waiting" in status["state"] else None)
    if ended is None:
        count.pending += 1
    elif ended["exitCode"] != 0 and "terminated" in status["state"] and not container.restarts_after(ended["exitCode"]):
        count.lost += 1
    elif ended["exitCode"] != 0:
        count.pending += 1


def _sidecar(container: Container, status: JSON, count: _Count) -> None:
    state = status["state"]
    if "running" in state:
        count.running += 1
        count.starting += not status["started"]
    elif "waiting" in state and _last(status) is None:
        count.starting += 1


def _main(container: Container | None, status: JSON, count: _Count, *, anew: bool) -> None:
    state = status["state"]
    if "running" in state:
        count.running += 1
    elif "terminated" not in state:
        count.again += _last(status) is not None
        count.waiting += _last(status) is None
    elif anew or (container is not None and container.restarts_after(state["terminated"]["exitCode"])):
        count.again += 1
    else:
        count.stopped += 1
        count.succeeded += state["terminated"]["exitCode"] == 0

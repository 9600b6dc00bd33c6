"""How long a Pod may be active (``spec.activeDeadlineSeconds``). Pure; the worker asks every round.

Source: kubelet pkg/kubelet/active_deadline.go.
"""

from __future__ import annotations

from podspace.kube import times
from podspace.node.pod import Pod
from podspace.node.status import Problem

EXCEEDED = Problem(reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline")


def seconds_left(pod: Pod, now: float) -> float | None:
    """None = it may run as long as it likes. Counted from ``status.startTime``; a Pod that has none yet has all of its time."""
    if pod.active_deadline_seconds is None:
        return None
    began = (pod.raw.get("status") or {}).get("startTime")
    return pod.active_deadline_seconds - (now - times.parse(began) if began else 0.0)

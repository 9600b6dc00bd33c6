"""What Pods and the node use, as metrics.k8s.io tells it: two readings of a counter become a rate, rates become PodMetrics.

Called by ``api.metrics``. Pure; who reads the counters is ``node.meter``.
Source: metrics-server's API: cpu in cores over a window, memory as the working set of now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.kube.quantity import BILLION, Quantity

_COPIED = ("name", "namespace", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters of one container (or the machine) at a moment.

    ``id`` tells its instances apart. ``nanos``: when, by the clock that nobody sets; ``since_nanos``: when ``cpu_nanos`` was zero, by it.
    """

    id: str
    nanos: int
    since_nanos: int
    cpu_nanos: int
    memory_bytes: int


def usage(before: Reading | None, now: Reading) -> JSON:
    """``{"cpu": "21551942n", "memory": "34444Ki"}``: per second since ``before``, or since its start if that was another instance."""
    cores = Quantity(nanos=nano_cores(before, now))
    return {"cpu": cores.canonical(), "memory": Quantity(nanos=now.memory_bytes * BILLION, family="binary").canonical()}


def nano_cores(before: Reading | None, now: Reading) -> int:
    """Billionths of a core: per second since ``before``, or since its start if that was another instance."""
    if before is None or before.id != now.id:
        before = Reading(id=now.id, nanos=now.since_nanos, since_nanos=now.since_nanos, cpu_nanos=0, memory_bytes=0)
    return max(now.cpu_nanos - before.cpu_nanos, 0) * BILLION // max(now.nanos - before.nanos, 1)


def stats(before: Reading | None, reading: Reading, *, now: float) -> JSON:
    """``cpu`` and ``memory`` as the kubelet's summary has them."""
    time = times.rfc3339(now)
    cpu = {"time": time, "usageNanoCores": nano_cores(before, reading), "usageCoreNanoSeconds": reading.cpu_nanos}
    return {"startTime": times.rfc3339(now - (reading.nanos - reading.since_nanos) / BILLION), "cpu": cpu} | {
        "memory": {"time": time, "workingSetBytes": reading.memory_bytes}
    }


def summary(node: str, machine: JSON, pods: Iterable[tuple[JSON, Mapping[str, JSON]]]) -> JSON:
    """The kubelet's ``/stats/summary`` of CPU and memory. ``machine`` and each container's: ``stats``."""
    return {
        "node": {"nodeName": node, **machine},
        "pods": [
            {
                "podRef": {key: pod["metadata"][key] for key in ("name", "namespace", "uid")},
                "startTime": (pod.get("status") or {}).get("startTime"),
                "containers": [{"name": name, **told} for name, told in containers.items()],
            }
            for pod, containers in pods
        ],
    }


def of_pod(pod: JSON, containers: Mapping[str, JSON], *, now: float, window_seconds: float) -> JSON:
    """PodMetrics. ``containers``: the usage of each that runs."""
    listed = [{"name": name, "usage": used} for name, used in containers.items()]
    return {**_head("PodMetrics", pod, now, window_seconds), "containers": listed}


def of_node(node: JSON, used: JSON, *, now: float, window_seconds: float) -> JSON:
    """NodeMetrics."""
    return {**_head("NodeMetrics", node, now, window_seconds), "usage": used}


def _head(kind: str, about: JSON, now: float, window_seconds: float) -> JSON:
    metadata = {key: about["metadata"][key] for key in _COPIED if about["metadata"].get(key)}
    return {
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {**metadata, "creationTimestamp": times.rfc3339(now)},
        "timestamp": times.rfc3339(now),
        "window": f"{window_seconds:.3f}".rstrip("0").rstrip(".") + "s",
    }

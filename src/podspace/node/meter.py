"""What running containers and the machine have used so far: what the API asks of the node for metrics.k8s.io (its ``Meter``).

Read when asked for, from the cgroups' own files; nothing runs in the background. The disk is not looked at.
"""

from __future__ import annotations

import time
from pathlib import Path

from podspace.kube.json import JSON
from podspace.kube.metrics import Reading
from podspace.linux import cgroup_stats, cgroups, machine_stats
from podspace.node import pod_state
from podspace.node.pod import parse
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState, ContainerStatus


class PodMeter:
    """Fulfils ``api.metrics.Meter``."""

    def __init__(self, engine: Engine, *, node_name: str, proc: Path = Path("/proc")) -> None:
        self._engine = engine
        self._node_name = node_name
        self._cgroups = cgroups.detect()
        self._proc = proc

    def pod(self, pod: JSON) -> dict[str, Reading]:
        """A reading of each container that runs, in the order of the spec; none if nothing of the Pod does."""
        view = parse(pod)
        observed = pod_state.observe(self._engine, view).containers
        running = ((container.name, observed.get(container.name)) for container in view.every_container())
        return {name: self._container(found) for name, found in running if found and found.state is ContainerState.RUNNING}

    def _container(self, status: ContainerStatus) -> Reading:
        used = cgroup_stats.read(self._cgroups, status.cgroup)
        now = time.monotonic_ns()
        return Reading(
            id=status.id,
            nanos=now,
            since_nanos=now - max(time.time_ns() - status.started_nanos, 0),
            cpu_nanos=used.cpu_nanos,
            memory_bytes=used.working_set_bytes,
        )

    def node(self, node: JSON) -> Reading | None:
        """The whole machine, whoever uses it; None for a node that is another one."""
        if node["metadata"]["name"] != self._node_name:
            return None
        used = machine_stats.read(self._proc)
        return Reading(id="", nanos=time.monotonic_ns(), since_nanos=0, cpu_nanos=used.cpu_nanos, memory_bytes=used.working_set_bytes)

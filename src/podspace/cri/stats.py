"""The RPCs about what containers and sandboxes use. Called by ``server``.

``usage_nano_cores`` is the rate since the last time somebody asked, for at least a second: nothing is measured in the background.
Source: cri-api api.proto; KEP-2371.
"""

from __future__ import annotations

from collections.abc import Mapping

from cri_api.v1 import api_pb2 as pb

from podspace.cri import describe, images
from podspace.cri.owned import Owned, starting_with
from podspace.linux import cgroup_stats, pressure
from podspace.runtime import model, usage
from podspace.settings import Paths

Waits = Mapping[str, pressure.Pressure]
_SHORTEST_NANOS = 1_000_000_000


class Rates:
    """CPU rates of things by id, made of the figures that pass through."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int, int]] = {}  # id -> when, CPU time then, the rate before

    def rate(self, identifier: str, nanos: int, cpu_nanos: int) -> int:
        """In billionths of a CPU; 0 until there are two figures."""
        then, before, rate = self._last.get(identifier, (0, 0, 0))
        if then and nanos - then < _SHORTEST_NANOS:
            return rate
        rate = max(0, cpu_nanos - before) * 1_000_000_000 // (nanos - then) if then else 0
        self._last[identifier] = (nanos, cpu_nanos, rate)
        return rate

    def keep_only(self, identifiers: set[str]) -> None:
        """Forget what is gone."""
        self._last = {identifier: known for identifier, known in self._last.items() if identifier in identifiers}


class Stats:
    """ContainerStats to ListPodSandboxStats."""

    def __init__(self, owned: Owned, paths: Paths) -> None:
        self._owned = owned
        self._paths = paths
        self._rates = Rates()

    async def container_stats(self, request: pb.ContainerStatsRequest) -> pb.ContainerStatsResponse:
        return pb.ContainerStatsResponse(stats=await self._of_container(self._owned.container(request.container_id)))

    async def list_container_stats(self, request: pb.ListContainerStatsRequest) -> pb.ListContainerStatsResponse:
        """Of those that have not ended."""
        wanted = request.filter
        found = [
            status
            for status in self._owned.containers()
            if status.state is not model.ContainerState.EXITED
            and status.sandbox_id.startswith(wanted.pod_sandbox_id)
            and describe.selected(wanted.label_selector, status.config.labels)
        ]
        if wanted.id:
            found = starting_with(wanted.id, found)
        self._forget()
        return pb.ListContainerStatsResponse(stats=[await self._of_container(status) for status in found])

    async def pod_sandbox_stats(self, request: pb.PodSandboxStatsRequest) -> pb.PodSandboxStatsResponse:
        return pb.PodSandboxStatsResponse(stats=await self._of_sandbox(self._owned.sandbox(request.pod_sandbox_id)))

    async def list_pod_sandbox_stats(self, request: pb.ListPodSandboxStatsRequest) -> pb.ListPodSandboxStatsResponse:
        """Of those that are ready."""
        found = [
            status
            for status in self._owned.sandboxes()
            if status.state is model.SandboxState.READY and describe.selected(request.filter.label_selector, status.config.labels)
        ]
        if request.filter.id:
            found = starting_with(request.filter.id, found)
        self._forget()
        return pb.ListPodSandboxStatsResponse(stats=[await self._of_sandbox(status) for status in found])

    def _forget(self) -> None:
        self._rates.keep_only({*(item.id for item in self._owned.containers()), *(item.id for item in self._owned.sandboxes())})

    async def _of_container(self, status: model.ContainerStatus) -> pb.ContainerStats:
        found = await self._owned.engine.container_usage(status.id)
        config = status.config
        return pb.ContainerStats(
            attributes=pb.ContainerAttributes(
                id=status.id,
                metadata=pb.ContainerMetadata(name=config.name, attempt=config.attempt),
                labels=config.labels,
                annotations=config.annotations,
            ),
            cpu=self._cpu(status.id, found.nanos, found.cgroup, found.pressure),
            memory=memory(found.nanos, found.cgroup, found.pressure),
            io=io(found.nanos, found.pressure),
            writable_layer=images.filesystem(self._paths, self._paths.snapshots, found.layer),
            swap=pb.SwapUsage(
                timestamp=found.nanos,
                swap_usage_bytes=_number(found.cgroup.swap_bytes),
                swap_available_bytes=_number(found.cgroup.available_swap_bytes),
            ),
        )

    async def _of_sandbox(self, status: model.SandboxStatus) -> pb.PodSandboxStats:
        found = self._owned.engine.sandbox_usage(status.id)
        containers = [item for item in self._owned.engine.containers(status.id) if item.state is not model.ContainerState.EXITED]
        config = status.config
        return pb.PodSandboxStats(
            attributes=pb.PodSandboxAttributes(
                id=status.id, metadata=describe.sandbox_metadata(config), labels=config.labels, annotations=config.annotations
            ),
            linux=pb.LinuxPodSandboxStats(
                cpu=self._cpu(status.id, found.nanos, found.cgroup, found.pressure),
                memory=memory(found.nanos, found.cgroup, found.pressure),
                io=io(found.nanos, found.pressure),
                network=network(found),
                process=pb.ProcessUsage(timestamp=found.nanos, process_count=_number(found.cgroup.processes)),
                containers=[await self._of_container(item) for item in containers],
            ),
        )

    def _cpu(self, identifier: str, nanos: int, found: cgroup_stats.Usage, waits: Waits) -> pb.CpuUsage:
        return pb.CpuUsage(
            timestamp=nanos,
            usage_core_nano_seconds=_number(found.cpu_nanos),
            usage_nano_cores=_number(self._rates.rate(identifier, nanos, found.cpu_nanos)),
            psi=psi(waits.get("cpu")),
        )


def memory(nanos: int, found: cgroup_stats.Usage, waits: Waits) -> pb.MemoryUsage:
    return pb.MemoryUsage(
        timestamp=nanos,
        working_set_bytes=_number(found.working_set_bytes),
        available_bytes=_number(found.available_bytes),
        usage_bytes=_number(found.memory_bytes),
        rss_bytes=_number(found.rss_bytes),
        page_faults=_number(found.page_faults),
        major_page_faults=_number(found.major_page_faults),
        psi=psi(waits.get("memory")),
    )


def io(nanos: int, waits: Waits) -> pb.IoUsage | None:
    """Nothing but how long was waited for it; None where the kernel does not tell."""
    return pb.IoUsage(timestamp=nanos, psi=psi(waits["io"])) if "io" in waits else None


def psi(found: pressure.Pressure | None) -> pb.PsiStats | None:
    """Source: KEP-4205."""
    return None if found is None else pb.PsiStats(Full=_stall(found.full), Some=_stall(found.some))


def _stall(found: pressure.Stall) -> pb.PsiData:
    """The kernel tells microseconds, the CRI nanoseconds."""
    return pb.PsiData(Total=found.total_micros * 1000, Avg10=found.avg10, Avg60=found.avg60, Avg300=found.avg300)


def network(found: usage.SandboxUsage) -> pb.NetworkUsage | None:
    """None for a sandbox in the host's network."""
    if not found.interfaces:
        return None
    all_of_them = [
        pb.NetworkInterfaceUsage(
            name=each.name,
            rx_bytes=_number(each.rx_bytes),
            rx_errors=_number(each.rx_errors),
            tx_bytes=_number(each.tx_bytes),
            tx_errors=_number(each.tx_errors),
        )
        for each in found.interfaces
    ]
    return pb.NetworkUsage(timestamp=found.nanos, default_interface=all_of_them[0], interfaces=all_of_them[1:])


def _number(value: int) -> pb.UInt64Value:
    return pb.UInt64Value(value=value)

"""ListMetricDescriptors and ListPodSandboxMetrics: cadvisor's metrics of containers and Pods, read when asked for. Called by ``server``.

One table says what each metric is and where it comes from; the labels are those a kubelet gives cadvisor's. What this machine does not
count (pressure and huge pages, on most with cgroup v1) is not described either: every descriptor has samples.
The protocol has whole numbers only, so seconds are whole. Source: KEP-2371; cadvisor's metrics/prometheus.go for names and meaning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cri_api.v1 import api_pb2 as pb

from podspace.cri import describe
from podspace.cri.owned import Owned
from podspace.image.service import Images
from podspace.linux import cgroup_details
from podspace.runtime import details, model, usage

LABELS = ("container", "id", "image", "name", "namespace", "pod")
_NANOS = 1_000_000_000
_MICROS = 1_000_000

Sample = tuple[tuple[str, ...], int]  # values of a metric's own labels, and the figure
OfContainer = Callable[[details.Details], Iterable[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One kind of figure. ``needs``: what the machine must count for it to be there."""

    name: str
    help: str
    counter: bool = False
    labels: tuple[str, ...] = ()
    read: OfContainer = lambda _: ()
    of_interface: str = ""  # the field of usage.Interface, for those of whole Pods
    needs: str = ""

    @property
    def descriptor(self) -> pb.MetricDescriptor:
        return pb.MetricDescriptor(name=self.name, help=self.help, label_keys=(*LABELS, *self.labels))

    def sample(self, nanos: int, base: Sequence[str], values: Sequence[str], figure: int) -> pb.Metric:
        kind = pb.COUNTER if self.counter else pb.GAUGE
        return pb.Metric(
            name=self.name, timestamp=nanos, metric_type=kind, label_values=(*base, *values), value=pb.UInt64Value(value=max(0, figure))
        )


def one(read: Callable[[details.Details], int]) -> OfContainer:
    """A metric without labels of its own."""
    return lambda found: (((), read(found)),)


def gauge(name: str, help: str, read: Callable[[details.Details], int]) -> Metric:
    return Metric(name=f"container_{name}", help=help, read=one(read))


def counter(name: str, help: str, read: Callable[[details.Details], int]) -> Metric:
    return Metric(name=f"container_{name}_total", help=help, counter=True, read=one(read))


def by_device(name: str, help: str, field: str) -> Metric:
    def read(found: details.Details) -> Iterator[Sample]:
        for device in found.cgroup.devices:
            yield (details.device_name(device.major, device.minor),), getattr(device, field)

    return Metric(name=f"container_fs_{name}_total", help=help, counter=True, labels=("device",), read=read)


def of_file_system(name: str, help: str, read: Callable[[details.Details], int]) -> Metric:
    return Metric(
        name=f"container_fs_{name}", help=help, labels=("device",), read=lambda found: (((found.file_system.device,), read(found)),)
    )


def of_interface(name: str, help: str, field: str) -> Metric:
    return Metric(name=f"container_network_{name}_total", help=help, counter=True, labels=("interface",), of_interface=field)


def waiting(resource: str, whole: str, help: str) -> Metric:
    def read(found: details.Details) -> Iterator[Sample]:
        pressure = found.cgroup.pressure.get(resource)
        if pressure is not None:
            yield (), (pressure.full if whole == "stalled" else pressure.some).total_micros // _MICROS

    return Metric(name=f"container_pressure_{resource}_{whole}_seconds_total", help=help, counter=True, read=read, needs="pressure")


def of_huge_pages(name: str, help: str, field: str) -> Metric:
    def read(found: details.Details) -> Iterator[Sample]:
        for size, pages in found.cgroup.huge_pages.items():
            yield (size,), getattr(pages, field)

    return Metric(name=f"container_hugetlb_{name}", help=help, labels=("pagesize",), read=read, needs="hugetlb")


def _device_operations(found: details.Details) -> Iterator[Sample]:
    for device in found.cgroup.devices:
        place = (details.device_name(device.major, device.minor), str(device.major), str(device.minor))
        yield (*place, "Read"), device.read_bytes
        yield (*place, "Write"), device.written_bytes


def _faults(found: details.Details) -> Iterator[Sample]:
    cgroup = found.cgroup
    yield ("pgfault", "container"), cgroup.own_page_faults
    yield ("pgmajfault", "container"), cgroup.own_major_page_faults
    yield ("pgfault", "hierarchy"), cgroup.usage.page_faults
    yield ("pgmajfault", "hierarchy"), cgroup.usage.major_page_faults


def _open_files_limit(found: details.Details) -> Iterator[Sample]:
    yield ("max_open_files",), found.processes.open_files_limit


def _resources(found: details.Details) -> model.Resources:
    return found.status.config.resources


METRICS: tuple[Metric, ...] = (
    counter("cpu_usage_seconds", "Cumulative cpu time consumed in seconds.", lambda found: found.cgroup.usage.cpu_nanos // _NANOS),
    counter("cpu_user_seconds", "Cumulative user cpu time consumed in seconds.", lambda found: found.cgroup.user_nanos // _NANOS),
    counter("cpu_system_seconds", "Cumulative system cpu time consumed in seconds.", lambda found: found.cgroup.system_nanos // _NANOS),
    counter("cpu_cfs_periods", "Number of elapsed enforcement period intervals.", lambda found: found.cgroup.periods),
    counter("cpu_cfs_throttled_periods", "Number of throttled period intervals.", lambda found: found.cgroup.throttled_periods),
    counter(
        "cpu_cfs_throttled_seconds",
        "Total time duration the container has been throttled.",
        lambda found: found.cgroup.throttled_nanos // _NANOS,
    ),
    gauge("memory_usage_bytes", "Current memory usage in bytes, including all memory.", lambda found: found.cgroup.usage.memory_bytes),
    gauge("memory_working_set_bytes", "Current working set in bytes.", lambda found: found.cgroup.usage.working_set_bytes),
    gauge("memory_rss", "Size of anonymous memory in bytes.", lambda found: found.cgroup.usage.rss_bytes),
    gauge("memory_cache", "Number of bytes of page cache memory.", lambda found: found.cgroup.cache_bytes),
    gauge("memory_mapped_file", "Size of memory mapped files in bytes.", lambda found: found.cgroup.mapped_file_bytes),
    gauge("memory_kernel_usage", "Size of kernel memory allocated in bytes.", lambda found: found.cgroup.kernel_bytes),
    gauge("memory_swap", "Container swap usage in bytes.", lambda found: found.cgroup.usage.swap_bytes),
    gauge("memory_max_usage_bytes", "Maximum memory usage recorded in bytes.", lambda found: found.cgroup.max_usage_bytes),
    gauge("memory_failcnt", "Number of memory usage hits limits.", lambda found: found.cgroup.limit_hits),
    Metric(
        name="container_memory_failures_total",
        help="Cumulative count of memory allocation failures.",
        counter=True,
        labels=("failure_type", "scope"),
        read=_faults,
    ),
    counter("oom_events", "Count of out of memory events observed for the container.", lambda found: found.cgroup.oom_kills),
    Metric(
        name="container_blkio_device_usage_total",
        help="Blkio device bytes usage.",
        counter=True,
        labels=("device", "major", "minor", "operation"),
        read=_device_operations,
    ),
    by_device("reads_bytes", "Cumulative count of bytes read.", "read_bytes"),
    by_device("reads", "Cumulative count of reads completed.", "reads"),
    by_device("writes_bytes", "Cumulative count of bytes written.", "written_bytes"),
    by_device("writes", "Cumulative count of writes completed.", "writes"),
    of_file_system(
        "usage_bytes", "Number of bytes that are consumed by the container on this filesystem.", lambda found: found.layer.bytes
    ),
    of_file_system(
        "limit_bytes", "Number of bytes that can be consumed by the container on this filesystem.", lambda found: found.file_system.bytes
    ),
    of_file_system("inodes_total", "Number of inodes.", lambda found: found.file_system.inodes),
    of_file_system("inodes_free", "Number of available inodes.", lambda found: found.file_system.free_inodes),
    of_huge_pages("usage_bytes", "Current hugepage usage in bytes.", "usage_bytes"),
    of_huge_pages("max_usage_bytes", "Maximum hugepage usage recorded in bytes.", "max_usage_bytes"),
    of_interface("receive_bytes", "Cumulative count of bytes received.", "rx_bytes"),
    of_interface("receive_packets", "Cumulative count of packets received.", "rx_packets"),
    of_interface("receive_errors", "Cumulative count of errors encountered while receiving.", "rx_errors"),
    of_interface("receive_packets_dropped", "Cumulative count of packets dropped while receiving.", "rx_dropped"),
    of_interface("transmit_bytes", "Cumulative count of bytes transmitted.", "tx_bytes"),
    of_interface("transmit_packets", "Cumulative count of packets transmitted.", "tx_packets"),
    of_interface("transmit_errors", "Cumulative count of errors encountered while transmitting.", "tx_errors"),
    of_interface("transmit_packets_dropped", "Cumulative count of packets dropped while transmitting.", "tx_dropped"),
    *(
        waiting(resource, whole, f"Total time duration {who} in the container {what} due to {resource} congestion.")
        for resource in ("cpu", "memory", "io")
        for whole, who, what in (("stalled", "no tasks", "could make progress"), ("waiting", "tasks", "have waited"))
    ),
    gauge("processes", "Number of processes running inside the container.", lambda found: found.processes.processes),
    gauge("threads", "Number of threads running inside the container.", lambda found: found.processes.threads),
    gauge(
        "threads_max",
        "Maximum number of threads allowed inside the container; 0 means no limit.",
        lambda found: found.cgroup.most_processes,
    ),
    gauge("file_descriptors", "Number of open file descriptors for the container.", lambda found: found.processes.files),
    gauge("sockets", "Number of open sockets for the container.", lambda found: found.processes.sockets),
    Metric(
        name="container_ulimits_soft",
        help="Soft ulimit values for the container's root process; 0 means no limit.",
        labels=("ulimit",),
        read=_open_files_limit,
    ),
    gauge("spec_cpu_period", "CPU period of the container.", lambda found: _resources(found).cpu_period_micros),
    gauge("spec_cpu_quota", "CPU quota of the container.", lambda found: _resources(found).cpu_quota_micros),
    gauge("spec_cpu_shares", "CPU share of the container.", lambda found: _resources(found).cpu_shares),
    gauge("spec_memory_limit_bytes", "Memory limit for the container.", lambda found: _resources(found).memory_limit_bytes),
    gauge(
        "spec_memory_swap_limit_bytes",
        "Memory swap limit for the container.",
        lambda found: max(0, _resources(found).memory_swap_limit_bytes - _resources(found).memory_limit_bytes),
    ),
    gauge(
        "start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        lambda found: (found.status.started_nanos or found.status.created_nanos) // _NANOS,
    ),
    gauge("last_seen", "Last time a container was seen by the exporter.", lambda _: time.time_ns() // _NANOS),
)


class Metrics:
    """The two RPCs."""

    def __init__(self, owned: Owned, images: Images) -> None:
        self._owned = owned
        self._images = images

    def _counted(self) -> tuple[Metric, ...]:
        """Those that this machine has figures for."""
        lacking = {need for need, there in cgroup_details.counts().items() if not there}
        return tuple(metric for metric in METRICS if metric.needs not in lacking)

    async def list_metric_descriptors(self, request: pb.ListMetricDescriptorsRequest) -> pb.ListMetricDescriptorsResponse:
        return pb.ListMetricDescriptorsResponse(descriptors=[metric.descriptor for metric in self._counted()])

    async def list_pod_sandbox_metrics(self, request: pb.ListPodSandboxMetricsRequest) -> pb.ListPodSandboxMetricsResponse:
        """Of sandboxes that are ready and of their containers that run."""
        ready = [status for status in self._owned.sandboxes() if status.state is model.SandboxState.READY]
        return pb.ListPodSandboxMetricsResponse(pod_metrics=[await self._of_sandbox(status) for status in ready])

    async def _of_sandbox(self, status: model.SandboxStatus) -> pb.PodSandboxMetrics:
        running = [item for item in self._owned.engine.containers(status.id) if item.state is model.ContainerState.RUNNING]
        found = [await self._owned.engine.container_details(item.id) for item in running]
        return await asyncio.to_thread(self._messages, status, self._owned.engine.sandbox_usage(status.id), found)

    def _messages(
        self, status: model.SandboxStatus, pod: usage.SandboxUsage, containers: Sequence[details.Details]
    ) -> pb.PodSandboxMetrics:
        base = ("", status.cgroup, "", status.id, status.config.namespace, status.config.name)
        counted = self._counted()
        return pb.PodSandboxMetrics(
            pod_sandbox_id=status.id,
            metrics=[
                metric.sample(pod.nanos, base, (interface.name,), getattr(interface, metric.of_interface))
                for metric in counted
                if metric.of_interface
                for interface in pod.interfaces
            ],
            container_metrics=[self._of_container(status.config, found, counted) for found in containers],
        )

    def _of_container(self, pod: model.SandboxConfig, found: details.Details, counted: Iterable[Metric]) -> pb.ContainerMetrics:
        status = found.status
        image, _ = describe.image_names(status.config, self._images.find(status.config.image))
        base = (status.config.name, status.cgroup, image, status.id, pod.namespace, pod.name)
        nanos = time.time_ns()
        samples = [metric.sample(nanos, base, values, figure) for metric in counted for values, figure in metric.read(found)]
        return pb.ContainerMetrics(container_id=status.id, metrics=samples)

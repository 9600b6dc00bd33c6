"""What a kubelet asks a runtime to measure: stats as cadvisor would have them, and metrics for whoever scrapes the node."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri

pytestmark = pytest.mark.root

BUSY = "mkdir /d; for i in $(seq 10); do echo $i > /d/$i; done; head -c 3000000 /dev/urandom > /d/big; sleep 1000; exit 0"
# names of which critest wants every one described and measured; pressure, huge pages and devices are as the machine is
WANTED = frozenset(
    f"container_{name}"
    for name in (
        *(f"cpu_{kind}_total" for kind in ("cfs_periods", "cfs_throttled_periods", "cfs_throttled_seconds")),
        *(f"cpu_{kind}_seconds_total" for kind in ("system", "usage", "user")),
        *(f"fs_{kind}" for kind in ("inodes_free", "inodes_total", "limit_bytes", "usage_bytes")),
        *("memory_cache", "memory_failcnt", "memory_failures_total", "memory_kernel_usage", "memory_mapped_file"),
        *("memory_max_usage_bytes", "memory_rss", "memory_swap", "memory_usage_bytes", "memory_working_set_bytes"),
        *(f"network_{way}_{kind}_total" for way in ("receive", "transmit") for kind in ("bytes", "errors", "packets", "packets_dropped")),
        *("file_descriptors", "last_seen", "oom_events_total", "processes", "sockets", "start_time_seconds", "threads", "threads_max"),
        *("spec_cpu_period", "spec_cpu_quota", "spec_cpu_shares", "spec_memory_limit_bytes", "spec_memory_swap_limit_bytes"),
        "ulimits_soft",
    )
)
DEVICES = frozenset(
    ("container_blkio_device_usage_total", *(f"container_fs_{way}_total" for way in ("reads", "reads_bytes", "writes", "writes_bytes")))
)


@dataclass(frozen=True)
class Scene:
    client: cri.Client
    sandbox: str
    container: str


@pytest.fixture(scope="module")
def scene(machine: cri.Machine) -> Scene:
    client = machine.client
    config = cri.sandbox_config("measured", machine.logs)
    sandbox = client.run_sandbox(config)
    limits = pb.LinuxContainerResources(
        cpu_period=100_000, cpu_quota=50_000, cpu_shares=512, memory_limit_in_bytes=64 << 20, memory_swap_limit_in_bytes=64 << 20
    )
    wanted = cri.container_config("one", client.pull("busybox:1.28"), config, command=["sh", "-c", BUSY], resources=limits)
    container = client.run(sandbox, config, wanted)
    client.output(container, "sh", "-c", "until ps -o args | grep -q '^[s]leep 1000'; do :; done")
    return Scene(client, sandbox, container)


def metrics(scene: Scene) -> tuple[dict[str, list[pb.Metric]], dict[str, list[pb.Metric]]]:
    """Of the Pod, and of its container, by name."""
    answer = scene.client.runtime.ListPodSandboxMetrics(pb.ListPodSandboxMetricsRequest(), timeout=cri.SECONDS)
    pod = next(item for item in answer.pod_metrics if item.pod_sandbox_id == scene.sandbox)
    container = next(item for item in pod.container_metrics if item.container_id == scene.container)
    found: tuple[dict[str, list[pb.Metric]], dict[str, list[pb.Metric]]] = ({}, {})
    for by_name, samples in zip(found, (pod.metrics, container.metrics), strict=True):
        for sample in samples:
            by_name.setdefault(sample.name, []).append(sample)
    return found


def test_every_metric_that_is_described_is_measured_with_its_labels(scene: Scene) -> None:
    described = {
        item.name: list(item.label_keys)
        for item in scene.client.runtime.ListMetricDescriptors(pb.ListMetricDescriptorsRequest()).descriptors
        if item.help
    }
    of_pod, of_container = metrics(scene)
    measured = of_pod | of_container
    assert described.keys() >= WANTED | DEVICES
    assert measured.keys() >= WANTED
    assert described.keys() - measured.keys() <= DEVICES
    for name, samples in measured.items():
        assert {len(sample.label_values) for sample in samples} == {len(described[name])}, name
        assert all(abs(sample.timestamp - time.time_ns()) < 60e9 for sample in samples)


def test_the_figures_are_the_containers(scene: Scene) -> None:
    of_pod, of_container = metrics(scene)
    value = {name: samples[0].value.value for name, samples in (of_pod | of_container).items()}
    labels = list(of_container["container_memory_usage_bytes"][0].label_values)
    assert (labels[0], *labels[3:]) == ("one", scene.container, "default", "measured")
    assert labels[2].startswith("docker.io/library/busybox:")
    assert value["container_processes"] == value["container_threads"] == 2  # sh and sleep
    assert value["container_spec_cpu_quota"] == 50_000
    assert value["container_spec_memory_limit_bytes"] == 64 << 20
    assert value["container_fs_usage_bytes"] > 0
    assert value["container_fs_inodes_total"] >= value["container_fs_inodes_free"] > 0
    assert (
        0
        < value["container_memory_working_set_bytes"]
        <= value["container_memory_usage_bytes"]
        <= value["container_memory_max_usage_bytes"]
    )
    assert 0 < value["container_start_time_seconds"] <= value["container_last_seen"]
    assert value["container_ulimits_soft"] > 0
    assert value["container_file_descriptors"] >= 3  # of one at least: the other may just be starting its program
    assert list(of_pod["container_network_receive_bytes_total"][0].label_values)[-1] == "eth0"
    assert of_container["container_cpu_usage_seconds_total"][0].metric_type == pb.COUNTER


def test_stats_of_a_container_and_of_its_pod(scene: Scene) -> None:
    container = scene.client.runtime.ContainerStats(pb.ContainerStatsRequest(container_id=scene.container)).stats
    assert container.attributes.metadata.name == "one"
    assert container.cpu.usage_core_nano_seconds.value > 0
    assert 0 < container.memory.working_set_bytes.value <= container.memory.usage_bytes.value
    assert container.memory.available_bytes.value == (64 << 20) - container.memory.working_set_bytes.value
    assert container.writable_layer.used_bytes.value > 0
    assert container.writable_layer.inodes_used.value >= 12
    pod = scene.client.runtime.PodSandboxStats(pb.PodSandboxStatsRequest(pod_sandbox_id=scene.sandbox)).stats.linux
    assert [item.attributes.id for item in pod.containers] == [scene.container]
    assert pod.process.process_count.value == 3  # /pause, sh, sleep
    assert pod.memory.working_set_bytes.value >= container.memory.working_set_bytes.value - (1 << 20)  # read a moment later
    assert pod.cpu.usage_core_nano_seconds.value >= container.cpu.usage_core_nano_seconds.value
    assert pod.network.default_interface.name == "eth0"
    assert pod.network.default_interface.tx_bytes.value > 0

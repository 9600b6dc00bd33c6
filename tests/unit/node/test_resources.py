"""From resources to the kernel's units: of containers, of Pods, and whom the kernel kills first."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import registration, requests, resources

GIB = 1 << 30
MIB = 1 << 20


def holder(name: str = "a", **amounts: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "resources": amounts}


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containers": list(containers)} | more


def test_memory_that_runs_out_ends_a_container_as_a_whole() -> None:
    plain = spec({"name": "a"})
    assert resources.container_resources(plain, plain["containers"][0], memory_capacity_bytes=GIB).unified == {"memory.oom.group": "1"}


def test_a_container_without_limits_has_those_of_its_pod() -> None:
    pod = spec(holder(), holder("b", limits={"cpu": "100m"}), resources={"limits": {"cpu": "1", "memory": "64Mi"}})
    first, second = (resources.container_resources(pod, one, memory_capacity_bytes=GIB) for one in pod["containers"])
    assert (first.cpu_quota_micros, first.memory_limit_bytes, first.cpu_shares) == (100_000, 64 * MIB, 2)
    assert (second.cpu_quota_micros, second.memory_limit_bytes) == (10_000, 64 * MIB)


@pytest.mark.parametrize(
    ("pod", "quota", "memory", "shares"),
    [
        (spec(holder()), 0, 0, 2),
        (spec(holder(requests={"cpu": "500m"})), 0, 0, 512),
        (spec(holder(limits={"cpu": "1", "memory": "1Mi"}), holder("b", limits={"cpu": "1"})), 200_000, 0, 2),
        (spec(holder(limits={"cpu": "1"}), initContainers=[holder("i", limits={"cpu": "3"})]), 300_000, 0, 2),
        (spec(holder(limits={"cpu": "1"}), initContainers=[holder("i")]), 0, 0, 2),
        (spec(holder(limits={"memory": "8Mi"}), overhead={"cpu": "250m", "memory": "2Mi"}), 0, 10 * MIB, 256),
        (spec(holder(limits={"cpu": "1"}), holder("b"), resources={"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}), 200_000, 0, 1024),
    ],
)
def test_a_pod_has_the_sum_if_everybody_in_it_has_a_limit(pod: dict[str, Any], quota: int, memory: int, shares: int) -> None:
    found = resources.pod_resources(pod, pids_limit=7)
    assert (found.cpu_quota_micros, found.memory_limit_bytes, found.cpu_shares, found.pids_limit) == (quota, memory, shares, 7)


def test_huge_pages_are_limited_by_size() -> None:
    pod = spec(
        holder(limits={"hugepages-2Mi": "4Mi", "memory": "1Mi"}), holder("b", limits={"hugepages-2Mi": "2Mi", "hugepages-1Gi": "1Gi"})
    )
    assert resources.pod_resources(pod).hugepage_limit_bytes == {"2MB": 6 * MIB, "1GB": GIB}
    assert resources.container_resources(pod, pod["containers"][0], memory_capacity_bytes=GIB).hugepage_limit_bytes == {"2MB": 4 * MIB}


def test_burstable_pods_weigh_what_they_ask_for_together() -> None:
    sure = spec(holder(limits={"cpu": "4", "memory": "1Gi"}, requests={"cpu": "4", "memory": "1Gi"}))
    some = [spec(holder(requests={"cpu": "500m"})), spec(holder(requests={"cpu": "250m"})), spec(holder()), sure]
    assert resources.burstable_shares(some) == 768


HALF = {"memory": "512Mi"}


@pytest.mark.parametrize(
    ("pod", "score"),
    [
        (spec(holder()), 1000),
        (spec(holder(requests=HALF)), 500),
        (spec(holder(requests={"memory": "1Gi"})), 3),
        (spec(holder(requests={"cpu": "1"})), 999),
        (spec(holder(limits=HALF | {"cpu": "1"}, requests=HALF | {"cpu": "1"})), -997),
        (spec(holder(), priority=2_000_001_000), -997),
        (spec(holder(), holder("b"), resources={"requests": HALF}), 750),  # what no container asks for is divided
    ],
)
def test_whom_the_kernel_kills_first(pod: dict[str, Any], score: int) -> None:
    assert resources.oom_score_adj(pod, pod["containers"][0], GIB) == score


def test_a_sidecar_goes_no_earlier_than_those_it_serves() -> None:
    sidecar = holder("side", requests={"memory": "1Mi"}) | {"restartPolicy": "Always"}
    assert resources.oom_score_adj(spec(holder(requests=HALF), initContainers=[sidecar]), sidecar, GIB) == 500


def test_a_kubelet_says_what_there_was_too_little_of() -> None:
    node = {"status": {"allocatable": {"cpu": "2", "pods": "2", "memory": "1Gi"}}}
    asking = {"spec": spec(holder(requests={"cpu": "1500m", "example.com/foo": "1"}))}
    assert requests.lacking(asking, [asking], node) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 1500, used: 1500, capacity: 2000",
    )
    assert requests.lacking(asking, [], node) == (
        "OutOfexample.com/foo",
        "Node didn't have enough resource: example.com/foo, requested: 1, used: 0, capacity: 0",
    )
    plain = {"spec": spec(holder())}
    words = "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"
    assert requests.lacking(plain, [plain, plain], node) == ("OutOfpods", words)
    assert requests.insufficient(plain, requests.load([plain, plain]), node) == ["Too many pods"]


def test_huge_pages_of_the_machine_are_told_by_size(tmp_path: Any) -> None:
    for kilobytes, count in ((2048, 3), (1048576, 0)):
        folder = tmp_path / f"hugepages-{kilobytes}kB"
        folder.mkdir()
        (folder / "nr_hugepages").write_text(f"{count}\n")
    assert registration._huge_pages(tmp_path) == {"hugepages-1Gi": "0", "hugepages-2Mi": "6Mi"}

"""Whether a Pod may grow, what is told of it, and what its containers have meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import neighbours, resizing, status
from podspace.node.pod import parse
from podspace.node.resizing import Pending
from podspace.runtime import model
from tests.unit.node.builders import container as ran
from tests.unit.node.builders import seen

NODE: dict[str, Any] = {"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"}}}


def of(cpu: str = "100m", memory: str = "64Mi", name: str = "p", **conditions: str) -> dict[str, Any]:
    container = {"name": "a", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "generation": 2},
        "spec": {"containers": [container], "nodeName": "n"},
        "status": {"conditions": [{"type": kind, "status": value} for kind, value in conditions.items()]},
    }


@pytest.mark.parametrize(
    ("wanted", "pending"),
    [
        (of("500m"), None),
        (
            of("1500m"),
            Pending(reason="Deferred", message="Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
        ),
        (of("3"), Pending(reason="Infeasible", message="Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000")),
        (
            of("3", "2Gi"),
            Pending(reason="Infeasible", message="Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"),
        ),
    ],
)
def test_a_pod_may_grow_as_far_as_there_is_room(wanted: dict[str, Any], pending: Pending | None) -> None:
    assert resizing.misfit(wanted, [of("1", name="other")], NODE) == pending


def test_until_it_is_granted_a_pod_is_run_with_what_it_had() -> None:
    resize = resizing.begin(of("100m"))
    wanted = of("500m")
    assert resize.differs(wanted)
    assert resize.view(wanted)["spec"] == of("100m")["spec"]
    resize.grant(wanted)
    assert not resize.differs(wanted)
    assert resize.view(wanted) is wanted
    assert resize.actual["a"] == {"requests": {"cpu": "100m", "memory": "64Mi"}}  # until the kernel has been told


def test_a_server_that_comes_back_reads_from_the_status_what_was_granted() -> None:
    wanted = of("3", PodResizePending="True")
    had = {"cpu": "100m", "memory": "64Mi"}
    wanted["status"]["containerStatuses"] = [{"name": "a", "resources": {"requests": had}, "allocatedResources": had}]
    assert resizing.begin(wanted).view(wanted)["spec"] == of("100m")["spec"]
    assert neighbours.allocated(wanted)["spec"] == of("100m")["spec"]
    assert neighbours.allocated(of("3"))["spec"] == of("3")["spec"]


def test_what_a_resize_waits_for_is_a_condition_and_goes_with_it() -> None:
    pod = parse(of())
    resize = resizing.begin(of())
    resize.pending = Pending(reason="Deferred", message="no")
    facts = status.Facts(observed=seen(ran("a")), now=1.0, resize=resize)
    found = {c["type"]: c for c in status.compute(pod, facts)["conditions"]}
    assert found["PodResizePending"].items() >= {"status": "True", "reason": "Deferred", "message": "no"}.items()
    resize.pending, resize.in_progress, resize.error = None, True, "in use"
    later = pod.with_raw(pod.raw | {"status": status.compute(pod, facts)})
    found = {c["type"]: c for c in status.compute(later, facts)["conditions"]}
    assert found["PodResizeInProgress"].items() >= {"status": "True", "reason": "Error", "message": "in use"}.items()
    assert "PodResizePending" not in found


def test_status_shows_what_is_allocated_and_what_runs() -> None:
    resize = resizing.begin(of("100m"))
    resize.grant(of("500m"))
    facts = status.Facts(observed=seen(ran("a")), now=1.0, resize=resize)
    (entry,) = status.compute(parse(of("500m")), facts)["containerStatuses"]
    assert entry["allocatedResources"] == {"cpu": "500m", "memory": "64Mi"}
    assert entry["resources"] == {"requests": {"cpu": "100m", "memory": "64Mi"}}


def test_a_resource_may_ask_for_a_restart() -> None:
    policy = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    before = model.Resources(cpu_shares=2, memory_limit_bytes=1)
    assert resizing.changed(before, model.Resources(cpu_shares=3, memory_limit_bytes=1)) == {"cpu"}
    assert not resizing.restarts(policy, frozenset({"cpu"}))
    assert resizing.restarts(policy, resizing.changed(before, model.Resources(cpu_shares=2, memory_limit_bytes=5)))


def test_events_carry_the_resources_as_json() -> None:
    told = resizing.summary(of("1"), 3, "no room")
    assert told == ('{"containers":[{"name":"a","resources":{"requests":{"cpu":"1","memory":"64Mi"}}}],"generation":3,"error":"no room"}')

"""What the status says, state by state."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import status
from podspace.node.pod import Pod
from podspace.runtime.model import ContainerStatus, SandboxState
from tests.unit.node.builders import container, pod, seen


def compute(*containers: ContainerStatus, of: Pod | None = None, ready: bool = True, **facts: Any) -> dict[str, Any]:
    observed = seen(*containers, sandbox_state=SandboxState.READY if ready else SandboxState.NOT_READY)
    return status.compute(of or pod(), status.Facts(observed=observed, now=1000.0, host_ips=("192.0.2.1",), **facts))


def conditions(made: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in made["conditions"]}


def states(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {s["name"]: s["state"] for s in made["containerStatuses"]}


def test_before_anything_runs_the_pod_is_pending_and_its_containers_wait() -> None:
    made = compute()
    assert made["phase"] == "Pending"
    assert states(made) == {"a": {"waiting": {"reason": "ContainerCreating"}}, "b": {"waiting": {"reason": "ContainerCreating"}}}
    assert conditions(made)["Ready"] == ("False", "ContainersNotReady")


def test_with_all_containers_running_the_pod_is_ready() -> None:
    made = compute(container("a"), container("b"))
    assert made["phase"] == "Running"
    assert made["podIP"] == "10.0.0.2"
    assert set(conditions(made).values()) == {("True", "")}
    assert [s["ready"] for s in made["containerStatuses"]] == [True, True]


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Always", (0, 0), "Running"),
    ],
)
def test_the_phase_of_a_pod_whose_containers_ended_depends_on_the_restart_policy(policy: str, codes: tuple[int, int], phase: str) -> None:
    made = compute(container("a", exit_code=codes[0]), container("b", exit_code=codes[1]), of=pod({"restartPolicy": policy}))
    assert made["phase"] == phase


def test_a_crashing_container_waits_and_shows_how_it_ended() -> None:
    problem = status.Problem(reason="CrashLoopBackOff", message="back-off 10s ...")
    made = compute(container("a", exit_code=3, attempt=1), container("b"), problems={"a": problem})
    entry = made["containerStatuses"][0]
    assert entry["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s ..."}}
    assert entry["lastState"]["terminated"]["exitCode"] == 3
    assert entry["restartCount"] == 1
    assert made["phase"] == "Running"
    assert conditions(made)["Ready"] == ("False", "ContainersNotReady")


def test_nothing_of_a_deleted_pod_waits_to_be_started_again() -> None:
    problems = {name: status.Problem(reason="CrashLoopBackOff", message="back-off 10s ...") for name in "ab"}
    deleted = pod(deletionTimestamp="1970-01-01T00:20:00Z", deletionGracePeriodSeconds=30)
    made = compute(container("a", exit_code=3, attempt=1), of=deleted, problems=problems)
    assert states(made)["a"]["terminated"]["exitCode"] == 3
    assert states(made)["b"] == {"waiting": {"reason": "ContainerCreating"}}


def test_an_image_that_is_not_there_keeps_the_pod_pending() -> None:
    made = compute(container("b"), problems={"a": status.Problem(reason="ErrImagePull", message="not found")})
    assert made["phase"] == "Pending"
    assert states(made)["a"] == {"waiting": {"reason": "ErrImagePull", "message": "not found"}}


def test_main_containers_wait_for_pod_initializing_while_init_containers_run() -> None:
    made = compute(container("i"), of=pod({"initContainers": [{"name": "i", "image": "x"}]}))
    assert states(made)["a"] == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(made)["Initialized"] == ("False", "ContainersNotInitialized")
    assert made["phase"] == "Pending"


def test_a_running_container_shows_how_its_predecessor_ended() -> None:
    made = compute(container("a", attempt=1), container("b"), previous={"a": container("a", exit_code=137)})
    assert made["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    assert made["containerStatuses"][0]["restartCount"] == 1


def test_a_condition_keeps_the_time_of_its_last_transition() -> None:
    first = compute(container("a"), container("b"))
    later = pod()
    later = later.with_raw(later.raw | {"status": first})
    again = status.compute(later, status.Facts(observed=seen(container("a"), container("b")), now=2000.0))
    assert {c["lastTransitionTime"] for c in again["conditions"]} == {c["lastTransitionTime"] for c in first["conditions"]}


def test_every_condition_says_of_which_spec_it_speaks() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    bound = pod()
    bound = bound.with_raw(bound.raw | {"status": {"conditions": [scheduled]}})
    made = status.compute(bound, status.Facts(observed=seen(container("a")), now=2000.0))["conditions"]
    assert [c["type"] for c in made] == ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert {c["observedGeneration"] for c in made} == {bound.generation}
    assert made[-1]["lastTransitionTime"] == scheduled["lastTransitionTime"]


def test_a_final_phase_never_changes() -> None:
    over = pod()
    over = over.with_raw(over.raw | {"status": {"phase": "Failed"}})
    assert compute(container("a"), of=over)["phase"] == "Failed"


def test_termination_messages_and_start_errors_are_shown() -> None:
    made = compute(
        container("a", exit_code=1),
        container("b"),
        of=pod({"restartPolicy": "Never"}),
        messages={"a0": "can only run as pid 1"},
    )
    assert made["containerStatuses"][0]["state"]["terminated"]["message"] == "can only run as pid 1"


def test_a_pod_says_what_its_containers_have_together() -> None:
    def box(name: str, **resources: dict[str, str]) -> dict[str, Any]:
        return {"name": name, "image": "x", "resources": resources}

    first = box("a", requests={"cpu": "100m", "memory": "64Mi"}, limits={"cpu": "1", "memory": "64Mi"})
    spec = {"containers": [first, box("b", requests={"cpu": "0.9"}, limits={"memory": "1Gi"})], "overhead": {"memory": "64Mi"}}
    made = compute(container("a"), container("b"), of=pod(spec))
    assert made["allocatedResources"] == {"cpu": "1", "memory": "128Mi"}
    assert made["resources"] == {"requests": made["allocatedResources"], "limits": {"memory": "1152Mi"}}, "b may have all of the CPU"


def test_a_pod_that_asks_for_nothing_says_so() -> None:
    made = compute(container("a"), container("b"))
    assert made["resources"] == {}
    assert "allocatedResources" not in made

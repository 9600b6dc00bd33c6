"""What a Pod's status remembers of containers that the engine has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from podspace.node import container_status, decide, pod_state, remembered, status
from podspace.node.decide import Observed
from podspace.node.pod import Pod
from podspace.runtime import model
from tests.unit.node.builders import container, pod, sandbox, seen


class Engine:
    """As much of the engine as observing takes."""

    def __init__(self, *containers: model.ContainerStatus, sandboxes: tuple[model.SandboxStatus, ...] = ()) -> None:
        self.log_root = Path("/logs")
        self._containers = containers
        self._sandboxes = list(sandboxes)

    def sandboxes(self, *, owner: str, uid: str) -> list[model.SandboxStatus]:
        return self._sandboxes

    def containers(self, sandbox_id: str) -> list[model.ContainerStatus]:
        return [c for c in self._containers if c.sandbox_id == sandbox_id]


def written(spec: dict[str, Any], *containers: model.ContainerStatus, **facts: Any) -> Pod:
    """A Pod whose status was written while these containers were there."""
    before = pod(spec)
    return before.with_raw(before.raw | {"status": status.compute(before, status.Facts(observed=seen(*containers), now=1000.0, **facts))})


def after_reboot(of: Pod, *containers: model.ContainerStatus, sandboxes: tuple[model.SandboxStatus, ...] = ()) -> Observed:
    return pod_state.observe(Engine(*containers, sandboxes=sandboxes), of)  # type: ignore[arg-type]


def plan(of: Pod, observed: Observed) -> decide.Plan:
    return decide.decide(of, observed, now=1000.0, due=lambda *_: 0.0)


def test_a_pod_that_ran_once_is_not_run_again_after_a_reboot() -> None:
    done = written({"restartPolicy": "Never"}, container("a", exit_code=0), container("b"))
    observed = after_reboot(done)
    assert plan(done, observed).finished
    made = status.compute(done, status.Facts(observed=observed, now=2000.0))
    ends = {s["name"]: s["state"]["terminated"] for s in made["containerStatuses"]}
    assert ends["a"]["exitCode"] == 0
    assert (ends["b"]["exitCode"], ends["b"]["reason"]) == (137, "ContainerStatusUnknown")
    assert made["phase"] == "Failed"


def test_a_pod_that_comes_back_counts_its_restarts_on_while_it_waits() -> None:
    running = written({}, container("a", attempt=4), container("b", exit_code=1, attempt=2))
    fresh = sandbox(attempt=0)
    observed = after_reboot(running, sandboxes=(fresh,))
    assert [c.name for c in plan(running, observed).start] == ["a", "b"]
    previous = pod_state.previous_instances(Engine(sandboxes=(fresh,)), running, observed)  # type: ignore[arg-type]
    made = status.compute(running, status.Facts(observed=observed, previous=previous, now=2000.0))
    assert [(s["name"], s["restartCount"]) for s in made["containerStatuses"]] == [("a", 4), ("b", 2)]
    again = running.with_raw(running.raw | {"status": made})
    kept = remembered.instances(again, Path("/logs"))
    assert [(s.config.name, s.config.attempt, s.exit_code) for s in kept] == [("a", 4, 137), ("b", 2, 1)]
    newest = pod_state.newest_instance(Engine(sandboxes=(fresh,)), again, "a")  # type: ignore[arg-type]
    assert newest is not None
    assert newest.config.attempt == 4


def test_how_the_lost_instance_ended_is_still_told_when_the_next_one_runs() -> None:
    running = written({}, container("a", attempt=4), container("b"))
    engine = Engine(container("a", attempt=5), container("b", attempt=1), sandboxes=(sandbox(),))
    for _ in range(2):  # from the status before the reboot, then from the one written after it
        observed = pod_state.observe(engine, running)  # type: ignore[arg-type]
        previous = pod_state.previous_instances(engine, running, observed)  # type: ignore[arg-type]
        made = status.compute(running, status.Facts(observed=observed, previous=previous, now=2000.0))
        [first, _] = made["containerStatuses"]
        assert (first["restartCount"], first["lastState"]["terminated"]["reason"]) == (5, "ContainerStatusUnknown")
        assert "running" in first["state"]
        running = running.with_raw(running.raw | {"status": made})


def test_what_succeeded_is_not_repeated_under_on_failure() -> None:
    half = written({"restartPolicy": "OnFailure"}, container("a", exit_code=0), container("b"))
    assert plan(half, after_reboot(half)).create_sandbox
    assert [c.name for c in plan(half, after_reboot(half, sandboxes=(sandbox(),))).start] == ["b"]


def test_what_the_engine_knows_is_not_remembered_from_the_status() -> None:
    stale = written({}, container("a"), container("b"))
    known = (container("a", exit_code=5), container("b", attempt=1))
    observed = after_reboot(stale, *known, sandboxes=(sandbox(),))
    assert {c.config.name: c.exit_code for c in observed.containers.values()} == {"a": 5, "b": 0}


def test_a_container_that_never_ran_is_not_remembered() -> None:
    assert remembered.instances(written({}), Path("/logs")) == []


def test_the_log_of_a_remembered_container_is_where_it_was() -> None:
    [found] = remembered.instances(written({}, container("a", attempt=3)), Path("/logs"))
    assert found.log_path == Path("/logs/a/3.log")
    assert container_status.ID_PREFIX not in found.id

"""The rules of order, restart and the end of a Pod, without a container."""

from __future__ import annotations

import dataclasses
from typing import Any

from podspace.node import decide
from podspace.node.pod import Container
from podspace.runtime import model
from podspace.runtime.model import SandboxState
from tests.unit.node.builders import container, pod, seen


def at_once(_: Container, exited_at: float | None) -> float:
    return 0.0


def plan(spec: dict[str, Any] | None = None, observed: decide.Observed | None = None, due: decide.Due = at_once) -> decide.Plan:
    return decide.decide(pod(spec), observed or decide.Observed(), now=1000.0, due=due)


def names(containers: tuple[Container, ...]) -> list[str]:
    return [c.name for c in containers]


INIT = {"initContainers": [{"name": "i", "image": "x"}, {"name": "j", "image": "x"}]}
SIDECAR = {"initContainers": [{"name": "s", "image": "x", "restartPolicy": "Always"}, {"name": "i", "image": "x"}]}


def test_a_new_pod_gets_a_sandbox_first() -> None:
    assert plan() == decide.Plan(create_sandbox=True)


def test_in_a_fresh_sandbox_all_main_containers_start_together() -> None:
    assert names(plan(observed=seen()).start) == ["a", "b"]


def test_nothing_is_done_while_everything_runs() -> None:
    assert plan(observed=seen(container("a"), container("b"))) == decide.Plan()


def test_a_container_that_died_starts_again_in_the_same_sandbox() -> None:
    made = plan(observed=seen(container("a", exit_code=137), container("b")))
    assert names(made.start) == ["a"]
    assert not made.create_sandbox


def test_the_death_of_pause_renews_the_sandbox() -> None:
    dead = seen(container("a", exit_code=137), container("b", exit_code=137), sandbox_state=SandboxState.NOT_READY)
    assert plan(observed=dead) == decide.Plan(kill_sandbox=True, create_sandbox=True)


def test_containers_that_outlive_pause_are_replaced_all_the_same() -> None:
    orphaned = seen(container("a"), container("b"), sandbox_state=SandboxState.NOT_READY)
    assert plan(observed=orphaned) == decide.Plan(kill_sandbox=True, create_sandbox=True)
    assert plan({"restartPolicy": "OnFailure"}, orphaned).create_sandbox
    assert plan({"restartPolicy": "Never"}, orphaned).finished


def test_init_containers_run_again_in_a_new_sandbox_although_a_main_container_was_done() -> None:
    done = dataclasses.replace(container("b", exit_code=0), sandbox_id=model.SandboxId("earlier"))
    assert names(plan(INIT | {"restartPolicy": "OnFailure"}, seen(done)).start) == ["i"]


def test_with_restart_policy_never_the_death_of_pause_is_the_end() -> None:
    dead = seen(container("a", exit_code=137), container("b", exit_code=137), sandbox_state=SandboxState.NOT_READY)
    assert plan({"restartPolicy": "Never"}, dead).finished


def test_back_off_holds_a_container_and_tells_when_to_look_again() -> None:
    made = plan(observed=seen(container("a", exit_code=1), container("b")), due=lambda c, at: 1010.0)
    assert made.start == ()
    assert made.wake_at == 1010.0
    assert made.waiting == {"a": 1010.0}


def test_on_failure_leaves_what_succeeded_and_repeats_what_failed() -> None:
    made = plan({"restartPolicy": "OnFailure"}, seen(container("a", exit_code=0), container("b", exit_code=1)))
    assert names(made.start) == ["b"]


def test_a_pod_whose_containers_are_all_done_is_finished() -> None:
    assert plan({"restartPolicy": "Never"}, seen(container("a", exit_code=0), container("b", exit_code=3))).finished


def test_a_pod_with_one_container_left_is_not_finished() -> None:
    assert not plan({"restartPolicy": "Never"}, seen(container("a", exit_code=0), container("b"))).finished


def test_init_containers_run_one_after_the_other_before_the_main_ones() -> None:
    assert names(plan(INIT, seen()).start) == ["i"]
    assert names(plan(INIT, seen(container("i"))).start) == []
    assert names(plan(INIT, seen(container("i", exit_code=0))).start) == ["j"]
    assert names(plan(INIT, seen(container("i", exit_code=0), container("j", exit_code=0))).start) == ["a", "b"]


def test_a_failed_init_container_is_tried_again_even_under_restart_policy_always() -> None:
    assert names(plan(INIT, seen(container("i", exit_code=1))).start) == ["i"]


def test_a_failed_init_container_ends_a_pod_that_is_never_restarted() -> None:
    assert plan(INIT | {"restartPolicy": "Never"}, seen(container("i", exit_code=1))).finished


def test_init_containers_are_not_run_again_when_a_main_container_restarts() -> None:
    made = plan(INIT, seen(container("a", exit_code=1), container("b")))
    assert names(made.start) == ["a"]


def test_a_sidecar_runs_before_the_next_init_container_and_stays() -> None:
    assert names(plan(SIDECAR, seen()).start) == ["s"]
    assert names(plan(SIDECAR, seen(container("s"))).start) == ["i"]
    assert names(plan(SIDECAR, seen(container("s"), container("i", exit_code=0))).start) == ["a", "b"]


def test_a_sidecar_that_dies_comes_back_while_the_main_containers_run() -> None:
    made = plan(SIDECAR, seen(container("s", exit_code=1), container("i", exit_code=0), container("a"), container("b")))
    assert names(made.start) == ["s"]


def test_an_ephemeral_container_starts_once_and_never_again() -> None:
    spec = {"ephemeralContainers": [{"name": "e", "image": "x"}]}
    assert names(plan(spec, seen(container("a"), container("b"))).start) == ["e"]
    assert plan(spec, seen(container("a"), container("b"), container("e", exit_code=1))).start == ()


def test_a_container_that_was_made_and_never_started_is_made_anew_whatever_its_kind() -> None:
    spec = {"ephemeralContainers": [{"name": "e", "image": "x"}], "restartPolicy": "Never"}
    observed = seen(container("a", created_only=True), container("b"), container("e", created_only=True))
    assert names(plan(spec, observed).start) == ["a", "e"]

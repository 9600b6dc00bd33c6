"""Restart rules by exit code, restarts of all containers, and what a probe's verdict leads to: decided without a container."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from podspace.node import decide
from podspace.node.decide import Observed, Stop, Why
from podspace.node.probes import Health, Kind
from podspace.runtime import model
from tests.unit.node.builders import container, pod, seen
from tests.unit.node.test_decide import INIT, SIDECAR, names, plan

PROBE = {"exec": {"command": ["true"]}}


def rule(action: str, operator: str, *values: int) -> dict[str, Any]:
    return {"action": action, "exitCodes": {"operator": operator, "values": list(values)}}


def ruled(*rules: dict[str, Any], policy: str = "Never", name: str = "a") -> dict[str, Any]:
    return {"name": name, "image": "x", "restartPolicy": policy, "restartPolicyRules": list(rules)}


@pytest.mark.parametrize(
    ("rules", "policy", "code", "again"),
    [
        ([rule("Restart", "In", 42)], "Never", 42, True),
        ([rule("Restart", "In", 42)], "Never", 43, False),
        ([rule("Restart", "NotIn", 0)], "Never", 7, True),
        ([rule("Restart", "NotIn", 0)], "Never", 0, False),
        ([rule("Restart", "In", 0)], "OnFailure", 0, True),
        ([rule("Restart", "In", 1, 2)], "OnFailure", 3, True),
        ([], "Never", 42, False),
    ],
)
def test_the_first_rule_that_fits_decides(rules: list[dict[str, Any]], policy: str, code: int, again: bool) -> None:
    made = plan({"containers": [ruled(*rules, policy=policy)]}, seen(container("a", exit_code=code)))
    assert (names(made.start) == ["a"], made.finished) == (again, not again)


def test_a_container_may_be_more_patient_than_its_pod() -> None:
    spec = {"restartPolicy": "Never", "containers": [ruled(policy="OnFailure"), {"name": "b", "image": "x"}]}
    assert names(plan(spec, seen(container("a", exit_code=1), container("b", exit_code=1))).start) == ["a"]


def test_an_init_container_with_a_policy_of_its_own() -> None:
    spec = {"initContainers": [{"name": "i", "image": "x", "restartPolicy": "Never"}]}
    assert plan(spec, seen(container("i", exit_code=1))).finished
    retried = {"restartPolicy": "Never", "initContainers": [{"name": "i", "image": "x", "restartPolicy": "OnFailure"}]}
    assert names(plan(retried, seen(container("i", exit_code=1))).start) == ["i"]


GANG = {"restartPolicy": "Never", "containers": [ruled(rule("RestartAllContainers", "In", 88)), {"name": "b", "image": "x"}]}


def test_a_rule_may_restart_everything() -> None:
    made = plan(GANG, seen(container("a", exit_code=88), container("b", exit_code=0)))
    assert made == decide.Plan(restart_all=True)
    assert plan(GANG, seen(container("a", exit_code=1), container("b", exit_code=0))).finished


def test_the_next_restart_of_all_waits_for_the_back_off() -> None:
    made = plan(GANG, seen(container("a", exit_code=88), container("b")), due=lambda c, at: 1010.0)
    assert (made.restart_all, made.waiting, made.wake_at) == (False, {"a": 1010.0}, 1010.0)


def unwell(kind: Kind, **known: Any) -> Observed:
    observed = seen(container("a"), container("b"))
    return dataclasses.replace(observed, health={model.ContainerId("a0"): Health(failed=kind)}, **known)


@pytest.mark.parametrize(
    ("kind", "policy", "words"),
    [
        (Kind.LIVENESS, "Always", "Container a failed liveness probe, will be restarted"),
        (Kind.STARTUP, "OnFailure", "Container a failed startup probe, will be restarted"),
        (Kind.LIVENESS, "Never", "Container a failed liveness probe"),
    ],
)
def test_what_a_probe_wants_killed_is_stopped(kind: Kind, policy: str, words: str) -> None:
    probes = {kind.field: PROBE | {"terminationGracePeriodSeconds": 7} for kind in (Kind.LIVENESS, Kind.STARTUP)}
    spec = {"restartPolicy": policy, "containers": [{"name": "a", "image": "x"} | probes, {"name": "b", "image": "x"}]}
    [stop] = plan(spec, unwell(kind)).stop
    assert (stop.words, stop.grace_seconds) == (words, 7)


def test_a_sidecar_is_told_to_be_an_init_container() -> None:
    sidecar = {"name": "a", "image": "x", "restartPolicy": "Always", "startupProbe": PROBE}
    [stop] = plan({"initContainers": [sidecar], "containers": [{"name": "b", "image": "x"}]}, unwell(Kind.STARTUP)).stop
    assert stop.words == "Init container a failed startup probe"


def test_an_image_that_was_changed_is_the_better_reason() -> None:
    observed = seen(container("a"))
    old = dataclasses.replace(observed.containers["a"], config=dataclasses.replace(observed.containers["a"].config, image_reference="old"))
    observed = dataclasses.replace(observed, containers={"a": old}, health={old.id: Health(failed=Kind.LIVENESS)})
    spec = {"containers": [{"name": "a", "image": "new", "livenessProbe": PROBE}]}
    assert plan(spec, observed).stop == (Stop(container=pod(spec).containers[0], why=Why.CHANGED, again=True),)


def test_a_sidecar_makes_way_once_its_startup_probe_has_succeeded() -> None:
    side, init = SIDECAR["initContainers"]
    spec = {"initContainers": [side | {"startupProbe": PROBE}, init]}
    assert plan(spec, seen(container("s"))).start == ()
    up = dataclasses.replace(seen(container("s")), health={model.ContainerId("s0"): Health(started=True)})
    assert names(plan(spec, up).start) == ["i"]


def test_a_sidecar_that_dies_before_it_is_up_holds_back_the_next_and_one_that_was_up_does_not() -> None:
    assert names(plan(SIDECAR, seen(container("s", exit_code=1))).start) == ["s"]
    assert names(plan(SIDECAR, seen(container("s", exit_code=1), container("i", exit_code=0))).start) == ["s", "a", "b"]


def hooked(name: str) -> dict[str, Any]:
    return {"name": name, "image": "x", "lifecycle": {"postStart": {"exec": {"command": ["true"]}}}}


def test_a_post_start_hook_holds_back_what_comes_after_its_container() -> None:
    spec = {"containers": [{"name": "z", "image": "x"}, hooked("a"), {"name": "b", "image": "x"}]}
    assert names(plan(spec, seen()).start) == ["z", "a"]
    running = dataclasses.replace(seen(container("z"), container("a")), starting=frozenset({model.ContainerId("a0")}))
    assert plan(spec, running).start == ()
    assert names(plan(spec, seen(container("z"), container("a"))).start) == ["b"]


def test_a_container_whose_hook_waits_for_its_back_off_holds_back_nobody() -> None:
    spec = {"containers": [hooked("a"), {"name": "b", "image": "x"}]}
    made = plan(spec, seen(container("a", exit_code=1)), due=lambda c, at: 1010.0 if c.name == "a" else 0.0)
    assert names(made.start) == ["b"]


def test_ephemeral_containers_wait_for_nobody() -> None:
    spec = INIT | {"ephemeralContainers": [{"name": "e", "image": "x"}]}
    assert names(plan(spec, seen(container("i"))).start) == ["e"]

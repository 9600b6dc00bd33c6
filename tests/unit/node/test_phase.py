"""Phases and conditions of Pods whose containers are probed, restarted by rule, or bounded in time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from podspace.node import active_deadline, status
from podspace.node.decide import Observed
from podspace.node.probes import Health, Kind
from podspace.node.status import Facts, Problem
from podspace.runtime import model
from tests.unit.node.builders import container, pod, seen
from tests.unit.node.test_decide import SIDECAR
from tests.unit.node.test_restart_rules import GANG, PROBE, rule, ruled

NOW = 1_000_000.0


def computed(spec: dict[str, Any], observed: Observed, **facts: Any) -> dict[str, Any]:
    return status.compute(pod(spec), Facts(observed=observed, now=NOW, **facts))


def well(observed: Observed, **health: Health) -> Observed:
    return dataclasses.replace(observed, health={model.ContainerId(f"{name}0"): found for name, found in health.items()})


def condition(found: dict[str, Any], kind: str) -> tuple[str, str, str]:
    [one] = [c for c in found["conditions"] if c["type"] == kind]
    return one["status"], one.get("reason", ""), one.get("message", "")


def probed(*kinds: Kind) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "x"} | {kind.field: PROBE for kind in kinds}]}


def test_a_container_is_ready_when_its_probe_says_so() -> None:
    spec = probed(Kind.READINESS)
    unready, ready = (computed(spec, well(seen(container("a")), a=Health(ready=known))) for known in (False, True))
    assert [found["containerStatuses"][0]["ready"] for found in (unready, ready)] == [False, True]
    assert condition(unready, "Ready") == ("False", "ContainersNotReady", "containers with unready status: [a]")
    assert condition(ready, "Ready") == ("True", "", "")


def test_a_container_that_has_not_started_is_not_ready_whatever_is_known() -> None:
    found = computed(probed(Kind.STARTUP), well(seen(container("a")), a=Health(started=False)))
    assert (found["containerStatuses"][0]["started"], found["containerStatuses"][0]["ready"]) == (False, False)
    assert found["phase"] == "Running"


def test_a_container_whose_hook_runs_is_being_created() -> None:
    found = computed(probed(), dataclasses.replace(seen(container("a")), starting=frozenset({model.ContainerId("a0")})))
    [shown] = found["containerStatuses"]
    assert (shown["state"], shown["started"], shown["ready"]) == ({"waiting": {"reason": "ContainerCreating"}}, False, False)
    assert found["phase"] == "Pending"


def test_a_sidecar_that_is_not_up_keeps_its_pod_pending() -> None:
    spec = {"initContainers": [SIDECAR["initContainers"][0] | {"startupProbe": PROBE}], "containers": [{"name": "a", "image": "x"}]}
    found = computed(spec, well(seen(container("s")), s=Health(started=False)))
    assert found["phase"] == "Pending"
    assert condition(found, "Initialized") == ("False", "ContainersNotInitialized", "containers with incomplete status: [s]")
    again = computed(spec, seen(container("s", exit_code=1), container("a")))
    assert again["phase"] == "Running"
    assert condition(again, "Initialized") == ("True", "", "")
    assert condition(again, "Ready") == ("False", "ContainersNotReady", "containers with unready status: [s]")


def test_what_a_rule_restarts_is_not_over() -> None:
    spec = {"restartPolicy": "Never", "containers": [ruled(rule("Restart", "In", 42))]}
    assert computed(spec, seen(container("a", exit_code=42)))["phase"] == "Running"
    assert computed(spec, seen(container("a", exit_code=3)))["phase"] == "Failed"


def test_a_pod_whose_containers_all_start_again_is_not_over() -> None:
    observed = seen(container("a", exit_code=88), container("b", exit_code=0))
    assert computed(GANG, observed)["phase"] == "Running"
    found = computed(GANG, observed, restarting=True)
    assert condition(found, "AllContainersRestarting") == ("True", "", "")
    gone = [container("a", exit_code=88), container("b", exit_code=137)]
    left = {status.id for status in gone}
    after = computed(GANG, seen(), previous={status.config.name: status for status in gone}, done_with=left)
    assert after["phase"] == "Running"
    assert after["containerStatuses"][1]["state"]["waiting"]["reason"] == "RestartingAllContainers"
    assert after["containerStatuses"][1]["lastState"]["terminated"]["reason"] == "RestartingAllContainers"
    assert after["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 88


def test_a_sidecar_that_asks_for_a_restart_of_all_when_its_pod_is_over_is_too_late() -> None:
    side = SIDECAR["initContainers"][0] | {"restartPolicyRules": [rule("RestartAllContainers", "In", 88)]}
    spec = {"restartPolicy": "Never", "initContainers": [side], "containers": [{"name": "a", "image": "x"}]}
    ended = seen(container("s", exit_code=88), container("a", exit_code=0), sandbox_state=model.SandboxState.NOT_READY)
    assert computed(spec, ended)["phase"] == "Succeeded"


def test_an_end_put_by_the_node_shows_when_nothing_runs_any_more() -> None:
    failure = Problem(reason="DeadlineExceeded", message="words")
    running = computed(probed(), seen(container("a")), failure=failure)
    assert (running["phase"], running.get("reason")) == ("Running", None)
    over = computed(probed(), seen(container("a", exit_code=0)), failure=failure)
    assert (over["phase"], over["reason"], over["message"]) == ("Failed", "DeadlineExceeded", "words")
    assert condition(over, "Ready") == ("False", "PodFailed", "")


@pytest.mark.parametrize(("limit", "began", "left"), [(None, None, None), (60, None, 60), (60, "1970-01-12T13:46:00Z", 20)])
def test_time_is_counted_from_the_start(limit: int | None, began: str | None, left: float | None) -> None:
    bounded = pod({"activeDeadlineSeconds": limit})
    raw = bounded.raw | {"status": {"startTime": began} if began else {}}
    assert active_deadline.seconds_left(bounded.with_raw(raw), NOW) == left


def test_readiness_gates() -> None:
    spec = probed() | {"readinessGates": [{"conditionType": "x/y"}]}
    gated = pod(spec)

    def ready(*conditions: dict[str, str]) -> tuple[str, str, str]:
        raw = gated.raw | {"status": {"conditions": list(conditions)}}
        return condition(status.compute(gated.with_raw(raw), Facts(observed=seen(container("a")), now=NOW)), "Ready")

    assert ready() == ("False", "ReadinessGatesNotReady", 'corresponding condition of pod readiness gate "x/y" does not exist.')
    no = 'the status of pod readiness gate "x/y" is not "True", but False'
    assert ready({"type": "x/y", "status": "False"}) == ("False", "ReadinessGatesNotReady", no)
    assert ready({"type": "x/y", "status": "True"}) == ("True", "", "")


def test_a_container_that_was_stopped_to_start_anew_is_not_over_whatever_it_ended_with() -> None:
    stopped = dataclasses.replace(seen(container("a", exit_code=0)), replaced=frozenset({model.ContainerId("a0")}))
    spec = {"restartPolicy": "OnFailure", "containers": [{"name": "a", "image": "x"}]}
    held = {"a": Problem(reason="CrashLoopBackOff", message="back-off")}
    for problems in ({}, held):
        found = computed(spec, stopped, problems=problems)
        assert found["phase"] == "Running"
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 0


def test_the_messages_of_a_pod_share_twelve_kilobytes() -> None:
    names = [f"c{number}" for number in range(6)]
    spec = {"restartPolicy": "Never", "containers": [{"name": name, "image": "x"} for name in names]}
    ended = [container(name, exit_code=1) for name in names]
    said = {status.id: "ä" * 4096 for status in ended}
    found = computed(spec, seen(*ended), messages=said)
    assert {len(entry["state"]["terminated"]["message"].encode()) for entry in found["containerStatuses"]} == {2048}


def test_an_ephemeral_container_is_neither_ready_nor_started() -> None:
    found = computed(probed() | {"ephemeralContainers": [{"name": "e", "image": "x"}]}, seen(container("a"), container("e")))
    [entry] = found["ephemeralContainerStatuses"]
    assert (entry["ready"], "started" in entry) == (False, False)

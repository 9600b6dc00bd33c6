"""When a prober asks, on a clock that jumps: no container, no waiting."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podspace.node import attempts
from podspace.node.context import NodeContext
from podspace.node.decide import NANOS, Observed
from podspace.node.pod import Pod
from podspace.node.pod_state import PodState
from podspace.node.prober import Prober
from podspace.node.probes import Answer, Kind, Outcome
from tests.unit.node import virtual_time
from tests.unit.node.builders import container, pod, seen

GOOD, BAD, UNKNOWN = (Outcome(answer=answer, text="words") for answer in (Answer.SUCCESS, Answer.FAILURE, Answer.UNKNOWN))


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def warning(self, obj: Any, reason: str, message: str, *, field_path: str = "") -> None:
        self.told.append((reason, message))


class Rig:
    """One Pod whose container ``a`` is asked; ``answers`` says what it answers at which second after its start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, probes: dict[str, Any], answer: Callable[[float], Outcome]) -> None:
        self.asked: list[float] = []
        self.changes: list[tuple[float, Any]] = []
        self.recorder = Recorder()
        self.pod: Pod = pod({"containers": [{"name": "a", "image": "x"} | probes]})
        self.state = PodState(uid=self.pod.uid)
        self.status = dataclasses.replace(container("a"), started_nanos=int(virtual_time.EPOCH * NANOS))

        async def attempt(target: attempts.Target, handler: Any, timeout_seconds: float) -> Outcome:
            self.asked.append(round(time.monotonic(), 3))
            return answer(time.monotonic())

        monkeypatch.setattr(attempts, "attempt", attempt)

    def context(self) -> NodeContext:
        return cast(NodeContext, SimpleNamespace(engine=None, recorder=self.recorder, facts=SimpleNamespace(ip="10.0.0.1")))

    async def run(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            prober = Prober(self.context(), self.state, tasks, wake=lambda: self._changed(prober))
            prober.follow(self.pod, self.observed)
            await asyncio.sleep(seconds)
            prober.cancel()

    @property
    def observed(self) -> Observed:
        return dataclasses.replace(seen(self.status), health=dict(self.state.health))

    def _changed(self, prober: Prober) -> None:
        self.changes.append((round(time.monotonic(), 3), self.state.health[self.status.id]))
        prober.follow(self.pod, self.observed)


def probe(**fields: Any) -> dict[str, Any]:
    return {"exec": {"command": ["x"]}, "periodSeconds": 10} | fields


def test_a_probe_asks_once_a_period(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"livenessProbe": probe(initialDelaySeconds=5)}, lambda _: GOOD)
    virtual_time.run(rig.run(50), monkeypatch)
    assert rig.asked == [5, 15, 25, 35, 45]
    assert rig.changes == []
    assert rig.recorder.told == []


def test_readiness_is_asked_early_and_early_failures_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 10}}, lambda at: GOOD if at > 0.3 else BAD)
    virtual_time.run(rig.run(20), monkeypatch)
    assert rig.asked == [0, 0.05, 0.15, 0.35, 10.35]
    assert [(at, health.ready) for at, health in rig.changes] == [(0.35, True)]
    assert rig.recorder.told == []


def test_what_still_fails_after_a_second_counts_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"readinessProbe": probe(failureThreshold=1)}, lambda at: BAD)
    virtual_time.run(rig.run(12), monkeypatch)
    assert rig.asked == [0.1, 1, 11]
    assert rig.recorder.told == [("Unhealthy", "Readiness probe failed: words")] * 2


def test_the_third_failure_in_a_row_is_the_end_and_nobody_asks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"livenessProbe": probe(failureThreshold=3)}, lambda at: BAD if at > 15 else GOOD)
    virtual_time.run(rig.run(100), monkeypatch)
    assert rig.asked == [1, 11, 21, 31, 41]
    assert [(at, health.failed) for at, health in rig.changes] == [(41, Kind.LIVENESS)]


def test_the_others_wait_for_the_startup_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    probes = {"startupProbe": probe(periodSeconds=2, failureThreshold=30), "livenessProbe": probe(), "readinessProbe": probe()}
    rig = Rig(monkeypatch, probes, lambda at: GOOD if at > 4 else BAD)
    virtual_time.run(rig.run(12), monkeypatch)
    assert rig.asked == [0.1, 1, 3, 5, 5, 5]
    assert [(at, health.started, health.ready) for at, health in rig.changes] == [(5, True, False), (5, True, True)]


def test_a_question_that_cannot_be_asked_says_nothing_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"livenessProbe": probe(failureThreshold=1)}, lambda _: UNKNOWN)
    virtual_time.run(rig.run(2), monkeypatch)
    assert rig.asked == [1, 1, 1]
    assert rig.changes == []
    assert rig.recorder.told == [("Unhealthy", "Liveness probe errored and resulted in unknown state: words")]


def test_a_new_server_keeps_what_was_ready_and_does_not_ask_everybody_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"readinessProbe": probe()}, lambda _: GOOD)
    entry = {"name": "a", "containerID": "podspace://a0", "state": {"running": {}}, "started": True, "ready": True}
    rig.pod = rig.pod.with_raw(rig.pod.raw | {"status": {"containerStatuses": [entry]}})
    monkeypatch.setattr("random.random", lambda: 0.5)
    virtual_time.run(rig.run(12), monkeypatch)
    assert rig.asked == [5]
    assert rig.changes == []


def test_a_pod_that_ends_is_asked_for_its_readiness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, {"livenessProbe": probe(), "readinessProbe": probe()}, lambda _: GOOD)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            prober = Prober(rig.context(), rig.state, tasks, wake=lambda: None)
            prober.follow(rig.pod, rig.observed)
            await asyncio.sleep(5)
            prober.ending()
            prober.follow(rig.pod, rig.observed)
            await asyncio.sleep(10)
            gone = dataclasses.replace(rig.status, state=container("a", exit_code=0).state)
            prober.follow(rig.pod, seen(gone))
            await asyncio.sleep(50)

    virtual_time.run(run(), monkeypatch)
    assert rig.asked == [0.1, 1, 10.1], "readiness early, liveness once, readiness again"
    assert rig.state.health == {}

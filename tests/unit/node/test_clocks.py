"""Clocks that are put back or forward: no back-off lasts longer for it, and none is skipped."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from podspace.node import termination
from podspace.node.backoff import Backoff
from podspace.node.context import NodeContext
from podspace.node.pod_state import PodState, crash_key
from tests.unit.node.builders import pod


class Context:
    def __init__(self) -> None:
        self.crashes = Backoff()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"wall": 1_000_000.0, "steady": 500.0}
    monkeypatch.setattr(time, "time", lambda: now["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: now["steady"])
    return now


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_back_off_takes_its_time_whatever_the_wall_says(clocks: dict[str, float], jump: float) -> None:
    state, context, [a, _] = PodState(uid=pod().uid), Context(), pod().containers
    ended = clocks["wall"] - 1
    context.crashes.advance(crash_key(pod().uid, a), state.ended_at("a", ended))
    assert state.due(cast(NodeContext, context), a, ended) == 509.0
    clocks["wall"] += jump
    clocks["steady"] += 5
    assert state.due(cast(NodeContext, context), a, ended) == 509.0


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_an_exit_dated_by_another_clock_is_at_most_as_old_as_the_longest_back_off(clocks: dict[str, float], jump: float) -> None:
    state = PodState(uid=pod().uid)
    assert 200.0 <= state.ended_at("a", clocks["wall"] + jump) <= 500.0


def test_the_grace_of_a_deletion_is_never_longer_than_it_was_given(clocks: dict[str, float]) -> None:
    deleting: dict[str, Any] = {"deletionTimestamp": "1970-01-12T13:46:50Z", "deletionGracePeriodSeconds": 10}
    doomed = pod({"terminationGracePeriodSeconds": 10}, **deleting)
    assert doomed.delete_by == clocks["wall"] + 10
    clocks["wall"] -= 3600
    assert termination._remaining(doomed, False, clocks["wall"], None) == 10


def test_the_grace_of_a_deletion_that_was_seen_is_exact(clocks: dict[str, float]) -> None:
    deleting: dict[str, Any] = {"deletionTimestamp": "1970-01-12T13:46:50Z", "deletionGracePeriodSeconds": 10}
    doomed = pod({"terminationGracePeriodSeconds": 10}, **deleting)
    seen = clocks["steady"]
    clocks["wall"] += 3600
    clocks["steady"] += 9.5
    assert termination._remaining(doomed, False, clocks["wall"], seen) == 0.5
    assert termination._remaining(doomed, True, clocks["wall"], seen) == 0

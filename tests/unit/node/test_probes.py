"""What a row of answers means, and which probes run when."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import probes
from podspace.node.handlers import Exec, Grpc, HttpGet, TcpSocket
from podspace.node.probes import Health, Kind, Streak

EXEC: dict[str, Any] = {"exec": {"command": ["true"]}}


def probe(kind: Kind = Kind.READINESS, **fields: Any) -> probes.Probe:
    return probes.of({kind.field: EXEC | fields})[kind]


def test_a_verdict_needs_as_many_answers_in_a_row_as_its_threshold_says() -> None:
    wanted = probe(failureThreshold=3, successThreshold=2)
    streak, verdicts = Streak(), []
    for good in (True, True, False, False, True, False, False, False, True, True):
        streak = streak.then(good)
        verdicts.append(probes.verdict(wanted, streak))
    assert verdicts == [None, True, None, None, None, None, None, False, None, True]


def test_an_answer_is_one_of_a_row_from_the_first() -> None:
    assert probes.verdict(probe(failureThreshold=1), Streak().then(False)) is False
    assert Streak().then(False).then(True) == Streak(good=True, length=1)


@pytest.mark.parametrize(
    ("kind", "good", "after"),
    [
        (Kind.READINESS, True, Health(ready=True)),
        (Kind.READINESS, False, Health(ready=False)),
        (Kind.LIVENESS, True, Health()),
        (Kind.LIVENESS, False, Health(failed=Kind.LIVENESS)),
        (Kind.STARTUP, True, Health(started=True)),
        (Kind.STARTUP, False, Health(failed=Kind.STARTUP)),
    ],
)
def test_what_a_verdict_changes(kind: Kind, good: bool, after: Health) -> None:
    assert probes.after(Health(), kind, good) == after


def test_the_startup_probe_runs_alone_until_it_has_succeeded() -> None:
    every = probes.of({kind.field: EXEC for kind in Kind})
    fresh = probes.fresh(every, None)
    assert fresh == Health(started=False, ready=False)
    assert probes.due(every, fresh) == {Kind.STARTUP}
    assert probes.due(every, probes.after(fresh, Kind.STARTUP, True)) == {Kind.LIVENESS, Kind.READINESS}
    assert probes.due(every, probes.after(fresh, Kind.STARTUP, False)) == frozenset()


def test_without_probes_a_container_is_well() -> None:
    assert probes.fresh({}, None) == Health()
    assert probes.due({}, Health()) == frozenset()


def test_what_a_former_server_found_is_believed() -> None:
    every = probes.of({kind.field: EXEC for kind in Kind})
    assert probes.fresh(every, {"started": True, "ready": True}) == Health()
    assert probes.fresh(every, {"started": True, "ready": False}) == Health(ready=False)


def test_defaults_and_handlers() -> None:
    wanted = probe()
    assert (wanted.timeout_seconds, wanted.period_seconds, wanted.success_threshold, wanted.failure_threshold) == (1, 10, 1, 3)
    headers = [{"name": "H", "value": "v"}, {"name": "E"}]
    given = {
        "livenessProbe": {"httpGet": {"port": "web", "httpHeaders": headers}, "terminationGracePeriodSeconds": 5},
        "readinessProbe": {"tcpSocket": {"port": 80, "host": "h"}},
        "startupProbe": {"grpc": {"port": 9, "service": "s"}},
    }
    made = probes.of(given)
    assert made[Kind.LIVENESS].handler == HttpGet(host="", port="web", path="/", scheme="HTTP", headers=(("H", "v"), ("E", "")))
    assert made[Kind.LIVENESS].grace_seconds == 5
    assert made[Kind.READINESS].handler == TcpSocket(host="h", port=80)
    assert made[Kind.STARTUP].handler == Grpc(port=9, service="s")
    assert wanted.handler == Exec(command=("true",))


def test_an_answer_counts_after_the_initial_delay() -> None:
    assert probes.eager_tries(probe(initialDelaySeconds=3)) == ()
    assert probes.eager_tries(probe(Kind.LIVENESS)) == ()
    assert probes.eager_tries(probe())

"""A restart of all containers that is interrupted: what is done with is known again, and killed before anything is started in its place."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podspace import errors
from podspace.node import restart_all
from podspace.node.backoff import Backoff
from podspace.node.context import NodeContext
from podspace.node.decide import Observed
from podspace.node.pod_state import PodState
from podspace.runtime.model import ContainerState, ContainerStatus, SandboxStatus
from tests.unit.node.builders import container, pod, sandbox, seen
from tests.unit.node.test_restart_rules import GANG

SPEC = GANG | {"ephemeralContainers": [{"name": "e", "image": "x"}]}


class Engine:
    """Containers that die when they are stopped, unless ``stuck``."""

    def __init__(self, *containers: ContainerStatus) -> None:
        self.found = {status.id: status for status in containers}
        self.stopped: list[tuple[str, float]] = []
        self.stuck = False

    def sandboxes(self, **_: Any) -> list[SandboxStatus]:
        return [sandbox()]

    def containers(self, _: str) -> list[ContainerStatus]:
        return list(self.found.values())

    async def stop_container(self, identifier: Any, grace_seconds: float) -> None:
        self.stopped.append((identifier, grace_seconds))
        if self.stuck:
            raise errors.TimedOut("it does not die")
        self.found[identifier] = dataclasses.replace(self.found[identifier], state=ContainerState.EXITED)


def context(engine: Engine, folder: Path) -> NodeContext:
    recorder = SimpleNamespace(normal=lambda *_, **__: None)
    settings = SimpleNamespace(paths=SimpleNamespace(pods=folder))
    return cast(NodeContext, SimpleNamespace(engine=engine, recorder=recorder, settings=settings, crashes=Backoff()))


def test_every_container_is_killed_without_grace_but_for_ephemeral_ones(tmp_path: Path) -> None:
    engine, gang = Engine(container("a", exit_code=88), container("b"), container("e")), pod(SPEC)
    state = PodState(uid=gang.uid)
    asyncio.run(restart_all.kill_all(context(engine, tmp_path), gang, state, observed(engine)))
    assert engine.stopped == [("b0", 0)]
    assert state.done_with == restart_all.done_with(tmp_path, gang.uid) == {"a0", "b0"}


def observed(engine: Engine) -> Observed:
    return seen(*engine.found.values())


def test_what_did_not_die_or_was_not_got_to_is_killed_before_anything_else(tmp_path: Path) -> None:
    engine, gang = Engine(container("a", exit_code=88), container("b")), pod(SPEC)
    engine.stuck = True
    with pytest.raises(errors.TimedOut):
        asyncio.run(restart_all.kill_all(context(engine, tmp_path), gang, PodState(uid=gang.uid), observed(engine)))
    engine.stuck = False
    later = PodState(uid=gang.uid, done_with=restart_all.done_with(tmp_path, gang.uid))
    for _ in range(2):
        asyncio.run(restart_all.finish(context(engine, tmp_path), gang, later))
    assert engine.stopped == [("b0", 0)] * 2, "once in vain, once for good"


def test_a_pod_that_was_never_restarted_has_nothing_to_finish(tmp_path: Path) -> None:
    assert restart_all.done_with(tmp_path, pod().uid) == set()
    (tmp_path / pod().uid).mkdir()
    (tmp_path / pod().uid / "restarted").write_text("{half")
    assert restart_all.done_with(tmp_path, pod().uid) == set()

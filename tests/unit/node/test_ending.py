"""The grace of one container: what its hook, its turn and its stop signal have of it, on a clock that jumps."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podspace.aio.broadcast import Broadcast
from podspace.node import attempts, ending, hooks
from podspace.node.context import NodeContext
from podspace.node.pod import Pod
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerId
from tests.unit.node import virtual_time
from tests.unit.node.builders import pod


class Deaf:
    """An engine whose container ends only when it is killed; it notes the graces it was given, and when."""

    def __init__(self) -> None:
        self.stops: list[tuple[float, float]] = []
        self.ended = asyncio.Event()

    async def stop_container(self, identifier: str, grace_seconds: float) -> None:
        self.stops.append((round(time.monotonic(), 3), round(grace_seconds, 3)))
        await asyncio.sleep(grace_seconds)
        self.ended.set()

    async def wait_container(self, identifier: str) -> None:
        await self.ended.wait()


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hook_seconds: float | None, hook: dict[str, Any] | None = None) -> None:
        if hook is None:
            hook = {} if hook_seconds is None else {"lifecycle": {"preStop": {"sleep": {"seconds": hook_seconds}}}}
        self.pod: Pod = pod({"containers": [{"name": "a", "image": "x"} | hook]})
        self.engine = Deaf()
        self.told: list[str] = []
        self.moved = Broadcast()
        self.deadline_at = 30.0
        self.given_up = False
        recorder = SimpleNamespace(warning=lambda obj, reason, message, field_path="": self.told.append(reason))
        self.context = cast(NodeContext, SimpleNamespace(engine=self.engine, recorder=recorder))

    async def end(self, **more: Any) -> float:
        target = attempts.Target(engine=cast(Engine, self.engine), container=ContainerId("c"), address="", ports={})
        deadline = ending.Deadline(
            lambda: 0.0 if self.given_up else max(0.0, self.deadline_at - time.monotonic()), self.moved, given_up=lambda: self.given_up
        )
        await ending.end_container(self.context, self.pod, self.pod.containers[0], target, deadline, **more)
        return round(time.monotonic(), 3)

    async def later(self, seconds: float, *, deadline_at: float | None = None) -> None:
        """Somebody loses patience: a new deadline, or none at all."""
        await asyncio.sleep(seconds)
        self.given_up = deadline_at is None
        self.deadline_at = deadline_at or 0.0
        self.moved.tell()


@pytest.mark.parametrize(
    ("hook_seconds", "stops", "over"),
    [
        (None, [(0, 30)], 30),
        (10, [(10, 20)], 30),
        (29.5, [(29.5, 2)], 31.5),
        (600, [(30, 2)], 32),
    ],
)
def test_a_hook_is_a_part_of_the_grace_and_two_seconds_are_left_after_it(
    monkeypatch: pytest.MonkeyPatch, hook_seconds: float | None, stops: list[tuple[float, float]], over: float
) -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig(monkeypatch, hook_seconds=hook_seconds)
        return rig, await rig.end()

    rig, ended = virtual_time.run(main(), monkeypatch)
    assert (rig.engine.stops, ended) == (stops, over)


@pytest.mark.parametrize(("deadline_at", "over"), [(12.0, 12.0), (None, 10.0)])
def test_a_grace_that_is_shortened_is_shortened_at_once(monkeypatch: pytest.MonkeyPatch, deadline_at: float | None, over: float) -> None:
    async def main() -> float:
        rig = Rig(monkeypatch, hook_seconds=None)
        ended, _ = await asyncio.gather(rig.end(), rig.later(10, deadline_at=deadline_at))
        return ended

    assert virtual_time.run(main(), monkeypatch) == over


def test_a_pod_that_is_given_up_gets_no_more_time_for_its_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[Rig, float]:
        rig = Rig(monkeypatch, hook_seconds=600)
        ended, _ = await asyncio.gather(rig.end(), rig.later(5))
        return rig, ended

    rig, ended = virtual_time.run(main(), monkeypatch)
    assert (rig.engine.stops, ended) == ([(5, 0)], 5)


def test_a_turn_is_waited_for_within_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(seconds: float) -> list[tuple[float, float]]:
        rig = Rig(monkeypatch, hook_seconds=None)
        await rig.end(turn=lambda: asyncio.sleep(seconds))
        return rig.engine.stops

    assert virtual_time.run(main(5), monkeypatch) == [(5, 25)]
    assert virtual_time.run(main(600), monkeypatch) == [(30, 2)]


def test_a_hook_that_is_not_done_in_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def takes_long(*_: Any) -> str:
        await asyncio.sleep(600)
        return ""

    monkeypatch.setattr(hooks, "run", takes_long)

    async def main() -> Rig:
        rig = Rig(monkeypatch, hook_seconds=None, hook={"lifecycle": {"preStop": {"exec": {"command": ["sleep", "600"]}}}})
        await rig.end()
        return rig

    rig = virtual_time.run(main(), monkeypatch)
    assert (rig.told, rig.engine.stops) == (["FailedPreStopHook"], [(30, 2)])


def test_a_hook_that_fails_is_told_and_the_end_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> str:
        return "why"

    monkeypatch.setattr(hooks, "run", fails)

    async def main() -> Rig:
        rig = Rig(monkeypatch, hook_seconds=1)
        await rig.end()
        return rig

    rig = virtual_time.run(main(), monkeypatch)
    assert (rig.told, rig.engine.stops) == (["FailedPreStopHook"], [(0, 30)])

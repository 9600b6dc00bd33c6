"""Work asked for several times at once: done once, told to everybody, stopped with the last."""

from __future__ import annotations

import asyncio

import pytest

from podspace.image.flights import Flights
from podspace.image.model import Progress


class Work:
    """A piece of work that tests hold by its sleeve."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.finish = asyncio.Event()
        self.tell: Progress | None = None

    async def run(self, progress: Progress) -> str:
        self.started += 1
        self.tell = progress
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_everybody_shares_the_work_and_hears_of_it() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        heard: list[tuple[int, int]] = []

        def listener(who: int) -> Progress:
            return lambda _, done, __: heard.append((who, done))

        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(flights.join("k", work.run, listener(who))) for who in range(3)]
            await settle()
            assert work.tell is not None
            work.tell("sha256:x", 5, 10)
            work.finish.set()
        assert [task.result() for task in waiting] == ["done"] * 3
        assert work.started == 1
        assert heard == [(0, 5), (1, 5), (2, 5)]

    asyncio.run(check())


def test_different_keys_are_different_work() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        work.finish.set()
        await asyncio.gather(flights.join("a", work.run), flights.join("b", work.run))
        assert work.started == 2

    asyncio.run(check())


def test_one_who_gives_up_does_not_stop_the_others() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        async with asyncio.TaskGroup() as tasks:
            first, second = (tasks.create_task(flights.join("k", work.run)) for _ in range(2))
            await settle()
            first.cancel()
            await settle()
            assert not work.cancelled
            work.finish.set()
        assert second.result() == "done"

    asyncio.run(check())


def test_the_last_who_gives_up_stops_it_and_the_next_starts_anew() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        async with asyncio.TaskGroup() as tasks:
            first, second = (tasks.create_task(flights.join("k", work.run)) for _ in range(2))
            await settle()
            first.cancel()
            second.cancel()
        assert work.cancelled == 1
        work.finish.set()
        assert await flights.join("k", work.run) == "done"
        assert work.started == 2

    asyncio.run(check())


def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    async def fail(_: Progress) -> str:
        await asyncio.sleep(0)
        raise OSError("no")

    async def check() -> None:
        flights, work = Flights[str](), Work()
        outcomes = await asyncio.gather(flights.join("k", fail), flights.join("k", fail), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
        work.finish.set()
        assert await flights.join("k", work.run) == "done"

    asyncio.run(check())


def test_a_failure_with_nobody_left_is_quiet() -> None:
    async def check() -> None:
        flights = Flights[str]()
        entered = asyncio.Event()

        async def stubborn(_: Progress) -> str:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise OSError("while cleaning up") from None
            return ""

        task = asyncio.ensure_future(flights.join("k", stubborn))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(check())

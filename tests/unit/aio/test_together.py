from __future__ import annotations

import asyncio
from typing import Any

import pytest

from podspace import errors
from podspace.aio import cleanup, together


async def value(number: int) -> int:
    return number


async def fails() -> int:
    raise errors.Unavailable("no")


async def forever(ended: list[str]) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cancelled")
    return 0


def test_every_returns_results_in_order() -> None:
    assert asyncio.run(together.every([value(1), value(2)])) == [1, 2]
    assert asyncio.run(together.every([])) == []


def test_a_failure_is_raised_as_it_is_and_cancels_the_others() -> None:
    ended: list[str] = []
    with pytest.raises(errors.Unavailable, match="no"):
        asyncio.run(together.every([forever(ended), fails()]))
    assert ended == ["cancelled"]


def test_first_tells_who_ended_and_cancels_the_rest() -> None:
    ended: list[str] = []
    assert asyncio.run(together.first(forever(ended), value(1))) == 1
    assert ended == ["cancelled"]


def test_first_raises_what_the_first_raised() -> None:
    with pytest.raises(errors.Unavailable):
        asyncio.run(together.first(forever([]), fails()))


def test_cancelling_the_caller_cancels_all() -> None:
    ended: list[str] = []

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await together.every([forever(ended), forever(ended)])

    asyncio.run(run())
    assert ended == ["cancelled", "cancelled"]


@pytest.mark.parametrize("many", [together.every, lambda coroutines: together.first(*coroutines)])
def test_a_failure_on_the_way_out_does_not_hide_a_cancellation(many: Any) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("cannot undo")

    async def main() -> None:
        waiting = asyncio.ensure_future(many([stubborn(), asyncio.Event().wait()]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


def test_an_undo_that_fails_leaves_the_cancellation_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise OSError("busy")

    async def make() -> None:
        try:
            await asyncio.Event().wait()
        except BaseException:
            await cleanup.undo(broken(), 5)
            raise

    async def main() -> None:
        making = asyncio.ensure_future(make())
        await asyncio.sleep(0)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making

    asyncio.run(main())
    assert "busy" in caplog.text

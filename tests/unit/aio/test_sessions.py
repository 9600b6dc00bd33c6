"""Sessions are over, clean-up included, before whoever ends them goes on."""

from __future__ import annotations

import asyncio

import pytest

from podspace.aio.sessions import Sessions


def test_the_end_waits_for_what_is_to_be_cleaned_up() -> None:
    async def main() -> None:
        sessions, done = Sessions(), list[str]()

        async def session() -> None:
            with sessions.held():
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    done.append("clean")

        task = asyncio.ensure_future(session())
        await asyncio.sleep(0)
        await sessions.end(10)
        assert (done, task.cancelled()) == (["clean"], True)

    asyncio.run(main())


def test_what_begins_after_the_end_is_cancelled() -> None:
    async def main() -> None:
        sessions = Sessions()
        await sessions.end(10)
        with pytest.raises(asyncio.CancelledError), sessions.held():
            await asyncio.sleep(0)

    asyncio.run(main())


def test_what_does_not_end_is_not_waited_for_for_ever() -> None:
    async def main() -> None:
        sessions, release = Sessions(), asyncio.Event()

        async def stubborn() -> None:
            with sessions.held():
                while not release.is_set():
                    try:
                        await release.wait()
                    except asyncio.CancelledError:
                        continue

        task = asyncio.ensure_future(stubborn())
        await asyncio.sleep(0)
        await sessions.end(0)
        assert not task.done()
        release.set()
        await task

    asyncio.run(main())

"""Teardown, children and descriptors."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from podspace import errors
from podspace.aio import cleanup, fds, process


def test_a_teardown_ends_although_its_caller_was_cancelled_and_then_the_caller_is() -> None:
    done: list[str] = []

    async def scene() -> None:
        gate = asyncio.Event()

        async def teardown() -> None:
            await gate.wait()
            done.append("torn down")

        async with asyncio.TaskGroup() as group:
            task = group.create_task(cleanup.finish(teardown(), 5))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            gate.set()
        assert task.cancelled()

    asyncio.run(scene())
    assert done == ["torn down"]


def test_a_teardown_that_hangs_is_given_up() -> None:
    async def scene() -> None:
        with pytest.raises(TimeoutError):
            await cleanup.finish(asyncio.Event().wait(), 0.001)

    asyncio.run(scene())


def test_a_program_gets_input_and_gives_output_and_status() -> None:
    async def scene() -> None:
        done = await process.run(["sh", "-c", "cat; echo err >&2; exit 3"], stdin=b"data")
        assert (done.exit_status, done.stdout, done.stderr) == (3, b"data", b"err\n")
        with pytest.raises(errors.ToolError, match=r"err.*command: sh -c"):
            done.check()
        with pytest.raises(errors.ToolError, match="No such file"):
            await process.run(["no-such-program"])

    asyncio.run(scene())


def test_a_program_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    done = asyncio.run(process.run(["env"], environment={"GIVEN": "2"}))
    assert b"SECRET" not in done.stdout
    assert b"GIVEN=2" in done.stdout


def test_a_cancelled_run_kills_its_program() -> None:
    async def scene() -> None:
        child = process.spawn(["sleep", "100"])
        assert child.running
        assert await child.kill() == -signal.SIGKILL
        child.send_signal(signal.SIGTERM)  # too late, and fine
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await process.run(["sleep", "100"])

    asyncio.run(scene())


def test_a_full_pipe_is_waited_for_and_its_end_seen() -> None:
    async def scene() -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        data = bytes(300_000)
        received = bytearray()

        async def receive() -> None:
            while chunk := await fds.read(reading):
                received.extend(chunk)

        async with asyncio.TaskGroup() as group:
            group.create_task(receive())
            await fds.write_all(writing, data)
            os.close(writing)
        os.close(reading)
        assert received == data

    asyncio.run(scene())

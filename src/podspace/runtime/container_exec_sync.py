"""Run a process in a container and keep what it prints: probes, hooks, CRI ExecSync.

Called by ``Engine.exec_sync``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from podspace import errors
from podspace.runtime import container_exec, model, records, world
from podspace.wire import streams

LIMIT_BYTES = 16 << 20


class Capture:
    """``Streams`` that keeps what a process prints, up to a limit, and gives it no input."""

    tty = False
    stdin = False
    stdout = True
    stderr = True

    def __init__(self, limit_bytes: int) -> None:
        self.disconnected = asyncio.Event()
        self.out = bytearray()
        self.err = bytearray()
        self._limit_bytes = limit_bytes

    async def read_stdin(self) -> bytes:
        return b""

    async def write_stdout(self, data: bytes | memoryview) -> None:
        self.out += data[: self._limit_bytes - len(self.out)]

    async def write_stderr(self, data: bytes | memoryview) -> None:
        self.err += data[: self._limit_bytes - len(self.err)]

    async def next_resize(self) -> streams.TerminalSize:
        never: asyncio.Future[streams.TerminalSize] = asyncio.get_running_loop().create_future()
        return await never


async def run(
    here: world.World, container: records.Container, argv: Sequence[str], *, timeout_seconds: float, limit_bytes: int = LIMIT_BYTES
) -> model.ExecResult:
    """Run to the end and return what was printed (each stream cut at ``limit_bytes``). ``timeout_seconds`` 0 = none.

    Raises: TimedOut (the process was killed), and what ``container_exec.run`` raises. Source: cri-api api.proto ExecSync.
    """
    capture = Capture(limit_bytes)
    try:
        async with asyncio.timeout(timeout_seconds or None):
            code = await container_exec.run(here, container, argv, capture)
    except TimeoutError as error:
        raise errors.TimedOut(f"command {list(argv)} timed out after {timeout_seconds:g} s") from error
    return model.ExecResult(exit_code=code, stdout=bytes(capture.out), stderr=bytes(capture.err))

"""Moving bytes between a process's descriptors and a client's ``Streams``, each at the pace of the slower.

Called by ``container_exec``. An *output* ends at end of file, or, once the process has ended, when nothing more is there: what a
background child that inherited the descriptor may say later is nobody's business.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from podspace.aio import fds
from podspace.wire import streams

Write = Callable[[bytes], Awaitable[None]]


async def output(fd: int, write: Write, ended: asyncio.Event) -> None:
    """Copy from ``fd`` until its end. Raises: ConnectionResetError when the client is gone."""
    while True:
        last = ended.is_set()
        try:
            chunk = os.read(fd, fds.CHUNK_BYTES)
        except BlockingIOError:
            if last:
                return
            await _readable_or(fd, ended)
            continue
        except OSError:  # EIO: the terminal's last user is gone
            return
        if not chunk:
            return
        await write(chunk)


async def _readable_or(fd: int, ended: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(fds.readable(fd)), group.create_task(_wait(ended))]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def stdin(client: streams.Streams, fd: int) -> None:
    """Copy the client's input to ``fd`` and return at its end; the caller closes ``fd``. Input nobody reads any more is dropped.

    Raises: ConnectionResetError when the client is gone.
    """
    open_ = True
    while data := await client.read_stdin():
        if open_:
            try:
                await fds.write_all(fd, data)
            except OSError:  # EPIPE, EIO: the process closed its input; go on reading, or the client would be stuck
                open_ = False

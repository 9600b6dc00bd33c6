"""Reading and writing file descriptors (pipes, terminals, pidfds) from asyncio, without read-ahead.

asyncio's own pipe transports buffer ahead of the reader; here nothing is read before somebody asks for it, so that a slow
client holds back the process that writes. One reader and one writer at a time per descriptor.
Called by ``runtime`` for exec, by ``linux`` for pidfds and inotify.
"""

from __future__ import annotations

import asyncio
import errno
import os

CHUNK_BYTES = 64 * 1024


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def readable(fd: int) -> None:
    """Wait until ``fd`` can be read, or its other end is closed."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _wake, future)
    try:
        await future
    finally:
        loop.remove_reader(fd)


async def writable(fd: int) -> None:
    """Wait until ``fd`` takes data, or its other end is closed."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, _wake, future)
    try:
        await future
    finally:
        loop.remove_writer(fd)


async def read(fd: int, size: int = CHUNK_BYTES) -> bytes:
    """Return what is there, ``b""`` at the end. A terminal whose last user is gone (EIO) has ended too. ``fd`` is non-blocking."""
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            await readable(fd)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise


async def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything, waiting while the other side is slower. ``fd`` is non-blocking. Raises: BrokenPipeError, OSError(EIO)."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await writable(fd)


def pipe_to_child() -> tuple[int, int]:
    """Make a pipe whose write end is ours: (read end for the child, non-blocking write end)."""
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    return theirs, ours


def pipe_from_child() -> tuple[int, int]:
    """Make a pipe whose read end is ours: (non-blocking read end, write end for the child)."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    return ours, theirs


def closed_pipes() -> tuple[int, int]:
    """Make ends of pipes for a child that reads nothing and whose words nobody wants: (read end, at its end; write end, broken)."""
    source, nobody_writes = os.pipe2(os.O_CLOEXEC)
    os.close(nobody_writes)
    nobody_reads, sink = os.pipe2(os.O_CLOEXEC)
    os.close(nobody_reads)
    return source, sink

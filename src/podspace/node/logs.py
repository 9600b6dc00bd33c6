"""Reading a container's log file for a client: from where it asked, and on as the container writes.

Woken by inotify, never by a clock; ends when the container has ended and all it wrote is sent. The file's format is
``wire.crilog``'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from podspace import errors
from podspace.aio import together
from podspace.linux import inotify
from podspace.node import log_files
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState, ContainerStatus
from podspace.wire import crilog
from podspace.wire.logoptions import LogOptions

CHUNK_BYTES = 64 * 1024
ROTATION_SECONDS = 5.0
_TRIES = 5  # to find the tail of a log that does not grow while one looks


async def read(engine: Engine, status: ContainerStatus, options: LogOptions) -> AsyncIterator[bytes]:
    """Yield the text of the log.  Raises: NotFound if there is no file (its Pod is being removed)."""
    renderer = crilog.Renderer.of(options, now=time.time())
    with contextlib.ExitStack() as stack:
        changes = stack.enter_context(inotify.Inotify()) if options.follow else None
        file = stack.enter_context(await _open(engine, status, status.log_path))
        end = await _place(file, options)
        if changes is not None:
            _watch(changes, status)
        while not renderer.done:
            # asked before reading: what is written before the end, or before another file takes its place, is read below
            ended = _ended(engine, status)
            following = log_files.successor(status.log_path, log_files.name_of(file)) if changes is not None else None
            while not renderer.done and (data := file.read(CHUNK_BYTES if end is None else min(CHUNK_BYTES, max(end - file.tell(), 0)))):
                if text := renderer.feed(data):
                    yield text
                await asyncio.sleep(0)  # a log of gigabytes of which nothing is wanted must not hold up everybody else
            if changes is None or (ended and following is None):
                return
            if following is None:
                await _wait(engine, status, changes)
                continue
            file.close()
            file = stack.enter_context(await _open(engine, status, following))
            _watch(changes, status)


async def _place(file: BinaryIO, options: LogOptions) -> int | None:
    """Go to where the client wants to begin; return where it ends, None = with the container. Who does not follow gets what is there now:
    so many lines as it asked for, and no more because somebody writes meanwhile.
    """
    for _ in range(_TRIES):
        end = os.fstat(file.fileno()).st_size
        if options.tail_lines is not None:
            file.seek(await asyncio.to_thread(crilog.tail_offset, file, options.tail_lines))
        if options.follow or os.fstat(file.fileno()).st_size == end:
            break
    return None if options.follow else end


async def _open(engine: Engine, status: ContainerStatus, path: Path) -> BinaryIO:
    """Open a part of the log; while it is being rotated the newest is not there for a moment. Raises: NotFound."""
    with contextlib.suppress(FileNotFoundError):
        return log_files.open_log(path)
    try:
        with inotify.Inotify() as folder:
            folder.add(status.log_path.parent, inotify.IN_CREATE | inotify.IN_MOVED_TO)
            async with asyncio.timeout(0 if _ended(engine, status) else ROTATION_SECONDS):
                while not status.log_path.exists():
                    await folder.read()
        return log_files.open_log(status.log_path)
    except (FileNotFoundError, TimeoutError) as error:
        raise errors.NotFound(f"log of container {status.config.name} is gone") from error


def _watch(changes: inotify.Inotify, status: ContainerStatus) -> None:
    """Be told when the log grows, and when another takes its place."""
    with contextlib.suppress(FileNotFoundError):  # it is just being rotated: then its folder tells
        changes.add(status.log_path, inotify.IN_MODIFY)
        changes.add(status.log_path.parent, inotify.IN_CREATE | inotify.IN_MOVED_TO)


def _ended(engine: Engine, status: ContainerStatus) -> bool:
    try:
        return engine.container(status.id).state is ContainerState.EXITED
    except errors.NotFound:
        return True


async def _wait(engine: Engine, status: ContainerStatus, changes: inotify.Inotify) -> None:
    """Return when the file grew or the container ended."""
    with contextlib.suppress(errors.NotFound):  # removed meanwhile: it has ended
        await together.first(changes.read(), engine.wait_container(status.id))

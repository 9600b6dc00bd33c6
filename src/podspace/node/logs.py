"""Reading a container's log file for a client: from where it asked, and on as the container writes.

Woken by inotify, never by a clock; ends when the container has ended and all it wrote is sent. The file's format is
``wire.crilog``'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from podspace import errors
from podspace.aio import together
from podspace.linux import inotify
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState, ContainerStatus
from podspace.wire import crilog
from podspace.wire.logoptions import LogOptions

CHUNK_BYTES = 64 * 1024


async def read(engine: Engine, status: ContainerStatus, options: LogOptions) -> AsyncIterator[bytes]:
    """Yield the text of the log.  Raises: NotFound if there is no file (its Pod is being removed)."""
    try:
        file = status.log_path.open("rb")
    except FileNotFoundError as error:
        raise errors.NotFound(f"log of container {status.config.name} is gone") from error
    renderer = crilog.Renderer.of(options, now=time.time())
    with file, contextlib.ExitStack() as stack:
        if options.tail_lines is not None:
            file.seek(await asyncio.to_thread(crilog.tail_offset, file, options.tail_lines))
        changes = stack.enter_context(inotify.Inotify()) if options.follow else None
        if changes is not None:
            changes.add(status.log_path, inotify.IN_MODIFY)
        while not renderer.done:
            ended = _ended(engine, status)  # asked before reading: what is written before the end is read below
            while not renderer.done and (data := file.read(CHUNK_BYTES)):
                if text := renderer.feed(data):
                    yield text
                await asyncio.sleep(0)  # a log of gigabytes of which nothing is wanted must not hold up everybody else
            if changes is None or ended:
                return
            await _wait(engine, status, changes)


def _ended(engine: Engine, status: ContainerStatus) -> bool:
    try:
        return engine.container(status.id).state is ContainerState.EXITED
    except errors.NotFound:
        return True


async def _wait(engine: Engine, status: ContainerStatus, changes: inotify.Inotify) -> None:
    """Return when the file grew or the container ended."""
    with contextlib.suppress(errors.NotFound):  # removed meanwhile: it has ended
        await together.first(changes.read(), engine.wait_container(status.id))

"""Go on logging to a new file after somebody renamed the old one. Called by ``Engine.reopen_log``."""

from __future__ import annotations

import asyncio

from podspace import errors
from podspace.linux import inotify
from podspace.oci import conmon
from podspace.runtime import model, records, world

_PATIENCE_SECONDS = 10


async def reopen(here: world.World, container: records.Container) -> None:
    """Return once the new file is there; no line is lost, and from then on none goes to the old file.

    Raises: FailedPrecondition (not running, or without a log), TimedOut. Source: cri-api api.proto ReopenContainerLog.
    """
    path = container.intent.log_path
    if container.state is not model.ContainerState.RUNNING or path is None:
        raise errors.FailedPrecondition(f"container {container.config.name} ({container.id}) is not running: {container.state}")
    with inotify.Inotify() as watcher:
        watcher.add(path.parent, inotify.IN_CREATE | inotify.IN_MOVED_TO)
        try:
            conmon.reopen_log(here.layout.container(container.id).path)
        except OSError as error:
            raise errors.FailedPrecondition(f"container {container.id}: its log has no writer any more: {error}") from error
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not path.exists():
                    await watcher.read()
        except TimeoutError as error:
            raise errors.TimedOut(f"container {container.id}: no new log at {path} after {_PATIENCE_SECONDS} s") from error

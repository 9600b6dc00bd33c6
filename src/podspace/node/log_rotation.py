"""Keeping the logs of running containers small: one that has grown too large is set aside, and conmon goes on in a new file.

The kernel tells nobody that a file has reached a size, so this looks at every log once in a while, as a kubelet does: one ``stat`` each.
A service of the node; the logs of a kubelet's containers are that kubelet's. Source: kubelet pkg/kubelet/logs/container_log_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
import os

from podspace import errors
from podspace.node import log_files
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState, ContainerStatus
from podspace.settings import Housekeeping

log = logging.getLogger(__name__)


async def run(engine: Engine, wanted: Housekeeping) -> None:
    """Rotate until cancelled."""
    while wanted.log_max_bytes > 0:
        await asyncio.sleep(wanted.log_check_seconds)
        await look(engine, wanted)


async def look(engine: Engine, wanted: Housekeeping) -> None:
    """One look at every log. One that is missing was set aside by a server that was killed at it: conmon begins it anew."""
    for status in _running(engine):
        size = _size(status)
        if size is None:
            await _begin_anew(engine, status)
        elif size > wanted.log_max_bytes:
            await _rotate(engine, status, wanted.log_max_files)


def _running(engine: Engine) -> list[ContainerStatus]:
    every = (status for sandbox in engine.sandboxes(owner="node") for status in engine.containers(sandbox.id))
    return [status for status in every if status.state is ContainerState.RUNNING]


def _size(status: ContainerStatus) -> int | None:
    try:
        return os.stat(status.log_path).st_size
    except FileNotFoundError:
        return None


async def _begin_anew(engine: Engine, status: ContainerStatus) -> None:
    try:
        await engine.reopen_log(status.id)
    except (errors.PodspaceError, OSError) as error:
        log.warning("the log of container %s (%s) is missing: %s", status.config.name, status.id, error)


async def _rotate(engine: Engine, status: ContainerStatus, max_files: int) -> None:
    """What fails is told and tried again at the next look; the log that is written is never lost."""
    try:
        await asyncio.to_thread(log_files.tidy, status.log_path, max_files=max_files)
        aside = log_files.set_aside(status.log_path)
        try:
            await engine.reopen_log(status.id)
        except (errors.PodspaceError, OSError):  # it has just ended
            if not status.log_path.exists():
                os.rename(aside, status.log_path)
            raise
    except (errors.PodspaceError, OSError) as error:
        log.warning("rotating the log of container %s (%s): %s", status.config.name, status.id, error)

"""Looking how much disk the Pods take that may take only so much, and evicting those that took more.

One service of the node agent. It sleeps until there is a Pod with a limit, and then looks no more often than costs a fiftieth of its
time: every two seconds for a few files, every minute for a great many. Where a file system's free space is what it was, nothing
was written, and nobody is looked at. Source: kubelet pkg/kubelet/eviction (every ten seconds, by figures up to a minute old).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from podspace import errors
from podspace.aio import supervised
from podspace.node import configs, pod_state, storage_limits, volumes
from podspace.node.context import NodeContext
from podspace.node.pod import Pod
from podspace.node.storage_limits import Limits, Usage
from podspace.runtime import disk_usage

log = logging.getLogger(__name__)
LEAST_SECONDS = 2.0
MOST_SECONDS = 60.0
_SHARE = 50  # of the time is spent on anything but looking


class Evictable(Protocol):
    """A Pod's worker."""

    @property
    def pod(self) -> Pod: ...

    def evict(self, message: str) -> None: ...


class StorageWatch:
    """``workers``: whom to look at, asked each time anew."""

    def __init__(self, context: NodeContext, workers: Callable[[], Iterable[Evictable]]) -> None:
        self._context = context
        self._workers = workers
        self._wanted = asyncio.Event()
        self._free: tuple[int, ...] = ()

    def consider(self, pod: Pod) -> None:
        """A Pod has come to this node."""
        if storage_limits.of(pod.spec):
            self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            limited = [(worker, limits) for worker in self._workers() if (limits := storage_limits.of(worker.pod.spec))]
            if not limited:
                self._wanted.clear()
                continue
            try:
                if self._something_was_written():
                    for worker, limits in limited:
                        await supervised.tried(log, f"disk usage of pod {worker.pod.full_name}", self._look_at(worker, limits))
            except OSError as error:
                log.warning("how much disk Pods take is not known: %s", error)
            await asyncio.sleep(min(max((time.monotonic() - began) * _SHARE, LEAST_SECONDS), MOST_SECONDS))

    def _something_was_written(self) -> bool:
        paths = self._context.settings.paths
        seen = tuple(figure for folder in (paths.lib, paths.log) for figure in _free(folder))
        changed, self._free = seen != self._free, seen
        return changed

    async def _look_at(self, worker: Evictable, limits: Limits) -> None:
        try:
            usage = await self._usage(worker.pod)
        except (errors.NotFound, OSError) as error:  # it is being removed
            log.debug("pod %s: %s", worker.pod.full_name, error)
            return
        message = storage_limits.exceeded(limits, usage)
        if message and storage_limits.is_critical(worker.pod.spec):
            log.warning("pod %s is critical and not evicted: %s", worker.pod.full_name, message)
        elif message:
            worker.evict(message)

    async def _usage(self, pod: Pod) -> Usage:
        engine, paths = self._context.engine, self._context.settings.paths
        written: dict[str, int] = {}
        for status in pod_state.instances(engine, pod.uid):
            used = await engine.disk_used(status.id)  # figures of before would be believed for as long as nothing more is written
            written[status.config.name] = written.get(status.config.name, 0) + used.bytes
        folders = volumes.on_disk(paths.pods, pod)
        return await asyncio.to_thread(_measured, written, folders, configs.log_directory(pod, paths.log))


def _measured(written: dict[str, int], folders: dict[str, Path], logs: Path) -> Usage:
    containers = {name: used + disk_usage.walk(logs / name).bytes for name, used in written.items()}
    return Usage(volumes={name: disk_usage.walk(path).bytes for name, path in folders.items()}, containers=containers)


def _free(folder: Path) -> tuple[int, int]:
    status = os.statvfs(folder)
    return status.f_bfree, status.f_ffree

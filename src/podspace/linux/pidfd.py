"""A handle on a process that is not our child: learn of its end, send it signals, never hit another one by mistake.

Called by ``runtime`` for /pause, conmon and containers' processes. Source: pidfd_open(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable

from podspace.aio import fds
from podspace.linux import procfs


class ProcessHandle:
    """An open pidfd. ``close`` it, or let ``watch`` do so when the process ends."""

    def __init__(self, identity: procfs.Identity, fd: int) -> None:
        self.identity = identity
        self.fd = fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[], None]] = []
        self.gone = False

    @classmethod
    def open(cls, pid: int, start_time: int | None = None) -> ProcessHandle | None:
        """Return None when there is no such process (any more), or one that started at another time."""
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return None
        identity = procfs.Identity.of(pid)
        if identity is None or (start_time is not None and identity.start_time != start_time):
            os.close(fd)
            return None
        return cls(identity, fd)

    @property
    def pid(self) -> int:
        return self.identity.pid

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens once the process is gone."""
        if not self.gone and self.fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.fd, number)

    def watch(self, callback: Callable[[], None] | None = None) -> None:
        """Call ``callback`` once, in the running loop, when the process ends; the handle is closed then."""
        if callback is not None:
            self._callbacks.append(callback)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.fd, self._ended)

    async def exited(self) -> None:
        """Wait for the end of the process. May be awaited by several."""
        if self.gone:
            return
        self.watch()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _ended(self) -> None:
        self.gone = True
        self.close()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for callback in self._callbacks:
            callback()

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._loop is not None and self.fd >= 0:
            self._loop.remove_reader(self.fd)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


async def wait_all(pids: Iterable[int]) -> None:
    """Wait until none of these processes is left, threads included. Those already gone count as done."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            await fds.readable(fd)
        finally:
            os.close(fd)

"""One watcher's queue between the store and whoever iterates.

The store pushes and never waits; a watcher that falls behind loses its place and is told so (``errors.Expired``), as clients of a
real API server are: they list again. It must not know SQLite or HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from podspace import errors
from podspace.store.change import Change

MAX_QUEUED = 2048


class Watch:
    """Async iterator of changes for one consumer. ``close`` it, or use it in a ``with`` block.

    ``async for change in watch`` hands them out singly; ``await watch.batch()`` all that wait, for who writes many at once.
    Iteration ends when the watch or the store is closed.
    """

    def __init__(
        self, *, namespace: str, after: int, backlog: Sequence[Change], newest: Callable[[], int], detach: Callable[[Watch], None]
    ) -> None:
        self._namespace = namespace
        self._after = after
        self._queue = deque(backlog)
        self._limit = MAX_QUEUED + len(backlog)
        self._newest = newest
        self._detach = detach
        self._wakeup = asyncio.Event()
        self._delivered = after
        self._lagging = False
        self._poked = False
        self.closed = False

    @property
    def revision(self) -> int:
        """Everything up to this revision has been handed out: what a BOOKMARK may say."""
        return self._delivered if self._queue or self._lagging else max(self._newest(), self._delivered)

    def push(self, change: Change) -> None:
        """Called by the store only."""
        if change.revision <= self._after or self._namespace not in ("", change.namespace):
            return
        if len(self._queue) >= self._limit:
            self._lagging = True
            self._queue.clear()
            self._detach(self)
        else:
            self._queue.append(change)
        self._wakeup.set()

    async def batch(self) -> list[Change]:
        """Wait for the next changes and return all that are there; [] once closed, or poked.  Raises: Expired after falling behind."""
        await self._wait()
        self._poked = False
        changes = list(self._queue)
        self._queue.clear()
        if changes:
            self._delivered = changes[-1].revision
        return changes

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Change:
        await self._wait()
        if not self._queue:
            raise StopAsyncIteration
        change = self._queue.popleft()
        self._delivered = change.revision
        return change

    async def _wait(self) -> None:
        while not self._queue and not self.closed and not self._lagging and not self._poked:
            self._wakeup.clear()
            await self._wakeup.wait()
        if self._lagging:
            raise errors.Expired(f"too old resource version: {self._delivered} ({self._newest()})")

    def poke(self) -> None:
        """Let ``batch`` return although there is nothing: its caller has something else to do."""
        self._poked = True
        self._wakeup.set()

    def close(self) -> None:
        """Stop receiving, wake the consumer. Idempotent."""
        self.closed = True
        self._queue.clear()
        self._detach(self)
        self._wakeup.set()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

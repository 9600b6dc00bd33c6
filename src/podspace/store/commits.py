"""Writes on their way to the disk: numbered at once, committed together, announced in order.

Between ``Store``, which decides whether a write is right, and ``Database``, which is slow. While one batch is being synced in the
writer thread, whatever arrives gathers into the next, so that a thousand concurrent writers share a few syncs. A batch that fails
takes all gathered writes with it: they may rest on it, and nobody has seen any of them. It must not know watchers or conflicts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from podspace import errors
from podspace.store.change import ChangeKind
from podspace.store.database import Database, Row
from podspace.store.index import Entry, Key


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Write:
    """One write under way. ``entry`` of a DELETED one is the last content with the revision of the deletion."""

    key: Key
    kind: ChangeKind
    entry: Entry
    durable: bool
    done: asyncio.Future[None]

    def row(self) -> Row:
        return Row(self.key, self.entry.revision, None if self.kind == "DELETED" else self.entry.encoded)


class Commits:
    """The queue of writes. Used from one event loop; owns one thread while there is something to write."""

    def __init__(self, database: Database, revision: int, publish: Callable[[Write], None]) -> None:
        self._database = database
        self._publish = publish
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="podspace-store")
        self._gathered: list[Write] = []
        self._barriers: list[asyncio.Future[None]] = []
        self._newest = revision
        self._latest: dict[Key, Write] = {}
        self._busy = False
        self._closed = False
        self.revision = revision  # of the last published write
        self.synced = revision  # of the last write that survives a power loss

    def latest(self, key: Key) -> Write | None:
        """Return the newest write of a key that is not committed yet."""
        return self._latest.get(key)

    def next_revision(self) -> int:
        """Return the number the next ``add`` shall carry.  Raises: Unavailable after ``close``."""
        if self._closed:
            raise errors.Unavailable("the store is closed: the server is going down")
        return self._newest + 1

    def add(self, key: Key, kind: ChangeKind, entry: Entry, *, durable: bool) -> Write:
        """Queue a write whose ``entry.revision`` is ``next_revision()``; its ``done`` tells the end. Await it shielded: it is shared."""
        write = Write(key=key, kind=kind, entry=entry, durable=durable, done=asyncio.get_running_loop().create_future())
        self._newest = entry.revision
        self._latest[key] = write
        self._gathered.append(write)
        self._start()
        return write

    def barrier(self) -> asyncio.Future[None]:
        """Return a future that is done once everything written so far survives a power loss."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._barriers.append(done)
        self._start()
        return done

    def close(self) -> None:
        """Finish the batch in hand, refuse what is gathered. Blocks for one commit at most. Idempotent."""
        self._closed = True
        self._fail(errors.Unavailable("the store was closed before this write: the server is going down"))
        self._thread.shutdown(wait=True)

    def _start(self) -> None:
        if self._busy or self._closed or not (self._gathered or self._barriers):
            return
        writes, self._gathered = self._gathered, []
        barriers, self._barriers = self._barriers, []
        self._busy = True
        revision = writes[-1].entry.revision if writes else self.revision
        sync = bool(barriers) or any(write.durable for write in writes)
        loop = asyncio.get_running_loop()

        def finished(outcome: Future[None]) -> None:  # in the writer thread
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(self._finish, writes, barriers, revision, sync, outcome.exception())

        rows = [write.row() for write in writes]
        self._thread.submit(self._database.commit, rows, revision, sync=sync).add_done_callback(finished)

    def _finish(
        self,
        writes: Sequence[Write],
        barriers: Sequence[asyncio.Future[None]],
        revision: int,
        sync: bool,
        failure: BaseException | None,
    ) -> None:
        self._busy = False
        if failure is not None:
            self._gathered[:0] = writes
            self._barriers[:0] = barriers
            self._fail(failure)
            return
        self.revision = revision
        self.synced = revision if sync else self.synced
        for write in writes:
            if self._latest.get(write.key) is write:
                del self._latest[write.key]
            self._publish(write)
            _resolve(write.done)
        for done in barriers:
            _resolve(done)
        self._start()

    def _fail(self, failure: BaseException) -> None:
        """Refuse all that is gathered; memory is then what the disk is."""
        writes, self._gathered = self._gathered, []
        barriers, self._barriers = self._barriers, []
        for write in writes:
            if self._latest.get(write.key) is write:
                del self._latest[write.key]
        self._newest = self.revision
        for done in [*(write.done for write in writes), *barriers]:
            _resolve(done, failure)


def _resolve(done: asyncio.Future[None], failure: BaseException | None = None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
        done.exception()  # a caller that was cancelled will not read it, and that is nothing to log

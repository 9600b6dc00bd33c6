"""The store on disk: one SQLite file in WAL mode, and the lock that keeps a second server out.

``Store`` opens it, loads everything once, and hands it batches of rows from one writer thread. It must not know watchers, conflicts
or what the objects mean. After ``commit(sync=True)`` a batch survives power loss; with ``sync=False`` it survives the end of this
process, and power loss only if a later commit was synced. Either way batches come back in order, none without its predecessors.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from podspace import errors
from podspace.store.index import Key

APPLICATION_ID = 0x706F6473  # "pods": tells our file from anybody else's SQLite file
SCHEMA_VERSION = 1
# After a power loss the last unsynced revisions are forgotten, but a client may remember them: never give these numbers out again.
POWER_LOSS_GAP = 1_000_000

_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE objects (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL,"
    " body BLOB NOT NULL, PRIMARY KEY (resource, namespace, name))",
    "INSERT INTO meta VALUES ('revision', 1), ('clean', 1), ('boot', '')",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Row(NamedTuple):
    """One object as it is on disk; ``body`` None = remove it."""

    key: Key
    revision: int
    body: bytes | None


class Database:
    """An open, locked file. Not thread safe: ``commit`` belongs to one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._sync = True
        self._revision = 0

    @classmethod
    def open(cls, path: Path) -> Database:
        """Create the file if there is none.

        Raises: FailedPrecondition if another server has it, or if it is corrupt, foreign or of a newer release; OSError.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            lock = _lock(path)
            undo.callback(os.close, lock)
            with _explained(path):
                connection = _connect(path)
            undo.pop_all()
        return cls(path, connection, lock)

    def start(self) -> int:
        """Note that a server runs, and return the revision it goes on from.  Raises: FailedPrecondition."""
        boot = _boot_id()
        with _explained(self.path):
            meta = dict(self._connection.execute("SELECT key, value FROM meta").fetchall())
            gap = 0 if meta["clean"] or meta["boot"] == boot else POWER_LOSS_GAP
            revision = int(meta["revision"]) + gap
            self._run([("clean", 0), ("boot", boot), ("revision", revision)], ())
        self._revision = revision
        return revision

    def rows(self) -> Iterator[Row]:
        """Yield every object.  Raises: FailedPrecondition."""
        with _explained(self.path):
            for resource, namespace, name, revision, body in self._connection.execute(
                "SELECT resource, namespace, name, revision, body FROM objects"
            ):
                yield Row(Key(resource, namespace, name), revision, body)

    def damaged(self, why: str) -> errors.FailedPrecondition:
        """Compose the error for content that should not be there."""
        return errors.FailedPrecondition(_corrupt(self.path, why))

    def commit(self, rows: Sequence[Row], revision: int, *, sync: bool) -> None:
        """Write all rows and the revision counter, or nothing.  Raises: Unavailable (disk full, I/O error)."""
        try:
            self._synchronous(sync)
            self._run([("revision", revision)], rows)
            self._revision = revision
        except sqlite3.Error as error:
            raise errors.Unavailable(f"cannot write to the store {self.path}: {error}; check the disk's free space and health") from error

    def close(self) -> None:
        """Note the clean end (if ``start`` was called), sync, close, unlock. Idempotent."""
        if self._lock < 0:
            return
        try:
            if self._revision:
                with contextlib.suppress(sqlite3.Error):  # the file is as good as after a crash
                    self._synchronous(True)
                    self._run([("clean", 1), ("revision", self._revision)], ())
        finally:
            self._connection.close()
            os.close(self._lock)
            self._lock = -1

    def _synchronous(self, sync: bool) -> None:
        if sync != self._sync:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            self._sync = sync

    def _run(self, meta: Sequence[tuple[str, object]], rows: Sequence[Row]) -> None:
        """One transaction; the last row of a key wins."""
        final = {row.key: row for row in rows}.values()
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
                [(*row.key, row.revision, row.body) for row in final if row.body is not None],
            )
            self._connection.executemany(
                "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", [row.key for row in final if row.body is None]
            )
            self._connection.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in meta])
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # some errors roll back by themselves
                with contextlib.suppress(sqlite3.Error):
                    execute("ROLLBACK")
            raise


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise errors.FailedPrecondition(
            f"the store {path} is in use by another server (process {owner}): stop that one, or give this one a --root of its own"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    fresh = not path.exists()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # Secrets are in it; -wal and -shm take the same mode
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        if connection.execute("PRAGMA schema_version").fetchone()[0] == 0:
            _create(connection)
        _check(path, connection)  # before anything is written: it may be somebody else's
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if fresh:
            _sync_folder(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


def _sync_folder(folder: Path) -> None:
    """SQLite syncs what it writes, but the name of a new file is its folder's content."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise errors.FailedPrecondition(f"{path} is an SQLite file, but not a podspace store: move it away, or use another --root")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise errors.FailedPrecondition(
            f"the store {path} has schema version {version}, this podspace knows {SCHEMA_VERSION}: use the podspace release that wrote it"
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise errors.FailedPrecondition(_corrupt(path, verdict))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, PermissionError) as error:
        raise errors.FailedPrecondition(f"cannot open the store {path}: {error}") from error
    except (sqlite3.DatabaseError, ValueError, KeyError) as error:
        raise errors.FailedPrecondition(_corrupt(path, error)) from error


def _corrupt(path: Path, why: object) -> str:
    return f"the store {path} is damaged or no podspace store ({why}): move it away to start empty, or put a good copy in its place"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""

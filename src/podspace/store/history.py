"""The recent past, so that a watcher can go on from a revision it has seen: bounded in number, bytes and age.

``Store`` adds each committed change and asks for those after a revision. Kept as JSON, a tenth of what the objects take in memory.
It does not outlive the server: after a restart a watcher with an older revision lists again, as it must do with a real API server.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from podspace import errors
from podspace.store.change import Change, ChangeKind
from podspace.store.encoding import decode
from podspace.store.index import Key

MAX_CHANGES = 4096
MAX_BYTES = 8 << 20
MAX_AGE_SECONDS = 600.0


class _Record(NamedTuple):
    kind: ChangeKind
    key: Key
    revision: int
    encoded: bytes
    previous: bytes | None
    at: float

    def change(self) -> Change:
        return Change(
            kind=self.kind,
            resource=self.key.resource,
            namespace=self.key.namespace,
            name=self.key.name,
            revision=self.revision,
            obj=decode(self.encoded),
            encoded=self.encoded,
            previous=decode(self.previous) if self.previous is not None else None,
        )


class History:
    """Changes after ``floor``, oldest first."""

    def __init__(
        self,
        floor: int,
        *,
        max_changes: int = MAX_CHANGES,
        max_bytes: int = MAX_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._floor = floor
        self._records: deque[_Record] = deque()
        self._bytes = 0
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._clock = clock

    def add(self, kind: ChangeKind, key: Key, revision: int, encoded: bytes, previous: bytes | None) -> None:
        """Append; revisions must rise. ``previous`` is not counted: mostly it is the bytes of an earlier record."""
        self._records.append(_Record(kind, key, revision, encoded, previous, self._clock()))
        self._bytes += len(encoded)
        self._prune()

    def since(self, revision: int, resource: str, namespace: str = "") -> list[Change]:
        """Return what happened after ``revision``, oldest first.  Raises: Expired if some of it is forgotten."""
        self._prune()
        if revision < self._floor:
            raise errors.Expired(f"too old resource version: {revision} ({self._floor})")
        return [
            record.change()
            for record in self._records
            if record.revision > revision and record.key.resource == resource and namespace in ("", record.key.namespace)
        ]

    def undone(self, revision: int, resource: str, namespace: str = "") -> dict[Key, bytes | None]:
        """What was otherwise at ``revision`` than it is now: an object's JSON then, None if it was not there.  Raises: Expired."""
        self._prune()
        if revision < self._floor:
            raise errors.Expired(f"too old resource version: {revision} ({self._floor})")
        found: dict[Key, bytes | None] = {}
        for record in self._records:  # the first change after that moment knows what was before it
            if record.revision > revision and record.key.resource == resource and namespace in ("", record.key.namespace):
                found.setdefault(record.key, record.previous)
        return found

    def _prune(self) -> None:
        horizon = self._clock() - self._max_age_seconds
        while self._records and (len(self._records) > self._max_changes or self._bytes > self._max_bytes or self._records[0].at < horizon):
            gone = self._records.popleft()
            self._bytes -= len(gone.encoded)
            self._floor = gone.revision

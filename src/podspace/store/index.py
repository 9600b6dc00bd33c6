"""The objects in memory: by key, and sorted as an API server lists them.

``Store`` keeps what is committed in one; writes under way are kept beside it. It must not know SQLite or watchers.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from podspace.kube.json import JSON


class Key(NamedTuple):
    """resource: plural, or plural.group outside the core group.  namespace: "" for cluster-scoped objects."""

    resource: str
    namespace: str
    name: str


class Entry(NamedTuple):
    """One object, its compact JSON, and the revision that wrote it."""

    obj: JSON
    encoded: bytes
    revision: int


class _Shelf:
    """The objects of one resource. Sorted by "namespace/name" as etcd sorts its keys, so "a-b" comes before "a"."""

    __slots__ = ("entries", "order")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.order: list[str] = []

    def put(self, path: str, entry: Entry) -> None:
        if path not in self.entries:
            insort(self.order, path)
        self.entries[path] = entry

    def remove(self, path: str) -> None:
        if self.entries.pop(path, None) is not None:
            del self.order[bisect_left(self.order, path)]

    def within(self, namespace: str) -> Iterator[Entry]:
        if not namespace:
            return (self.entries[path] for path in self.order)
        start, stop = bisect_left(self.order, f"{namespace}/"), bisect_left(self.order, f"{namespace}0")  # "0" follows "/"
        return (self.entries[path] for path in self.order[start:stop])


class Index:
    """Every object, found by key and listed in order."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}

    def get(self, key: Key) -> Entry | None:
        shelf = self._shelves.get(key.resource)
        return shelf.entries.get(f"{key.namespace}/{key.name}") if shelf else None

    def put(self, key: Key, entry: Entry) -> None:
        self._shelves.setdefault(key.resource, _Shelf()).put(f"{key.namespace}/{key.name}", entry)

    def remove(self, key: Key) -> None:
        if shelf := self._shelves.get(key.resource):
            shelf.remove(f"{key.namespace}/{key.name}")

    def within(self, resource: str, namespace: str = "") -> Iterator[Entry]:
        """Yield in order of (namespace, name); namespace "" = all of them."""
        shelf = self._shelves.get(resource)
        return shelf.within(namespace) if shelf else iter(())

"""The API objects of one server: read from memory, written through to disk, watched by everybody.

``api`` and ``node`` meet here and nowhere else; ``daemon`` opens it. It knows names, revisions and JSON, not what a Pod is.

- Readers and watchers see what is committed and nothing else: a crash undoes nothing that anybody has seen. Writers are checked
  against the newest state, writes under way included, and return once theirs is committed *and* visible.
- One revision counter for all resources, never reused, raised by real changes only. Revision order is commit order is watch order.
- ``durable=False`` is for what its writer would write again (heartbeats, statuses, events): it survives the end of the server but,
  unless a durable write followed, not a power loss. It spares the wait for the disk.
- Objects are shared, not copied: whoever hands one in or gets one out must not change it afterwards.
- All methods belong to one event loop. A cancelled write may still happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from podspace import errors
from podspace.kube.json import JSON
from podspace.store.change import Change, ChangeKind
from podspace.store.commits import Commits, Write
from podspace.store.database import Database
from podspace.store.encoding import decode, encode, same_content, stamped
from podspace.store.history import History
from podspace.store.index import Entry, Index, Key
from podspace.store.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """What a ``mutate`` function returns to remove the object; ``obj`` is the last content that watchers see."""

    obj: JSON


class Store:
    """Open it with ``Store.open``; close it, or use it in a ``with`` block."""

    def __init__(self, database: Database, index: Index, revision: int) -> None:
        self._database = database
        self._index = index
        self._commits = Commits(database, revision, self._publish)
        self._history = History(revision)
        self._watches: dict[str, set[Watch]] = {}

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open or create the file and lock it.

        Raises: FailedPrecondition with a sentence for the user: in use by another server, damaged, foreign, of a newer release.
        """
        database = Database.open(path)
        try:
            return cls(database, _load(database), database.start())
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Finish the commit in hand, refuse what waits behind it, end all watches. Blocks for milliseconds. Idempotent."""
        self._commits.close()
        for watch in [watch for watches in self._watches.values() for watch in watches]:
            watch.close()
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Reading

    @property
    def revision(self) -> int:
        """Revision of the newest visible change."""
        return self._commits.revision

    def get(self, resource: str, namespace: str, name: str) -> JSON | None:
        """Return the object, or None. ``resource``: plural, or plural.group; ``namespace`` "" for cluster-scoped ones."""
        entry = self._index.get(Key(resource, namespace, name))
        return entry.obj if entry else None

    def entry(self, resource: str, namespace: str, name: str) -> Entry | None:
        """As ``get``, with the JSON that was made when it was written."""
        return self._index.get(Key(resource, namespace, name))

    def entries(self, resource: str, namespace: str = "") -> tuple[list[Entry], int]:
        """As ``list``, with the JSON that was made when they were written."""
        return [*self._index.within(resource, namespace)], self.revision

    def entries_at(self, revision: int, resource: str, namespace: str = "") -> list[Entry]:
        """As ``entries``, at a moment of the past.  Raises: Expired if the history does not reach back that far."""
        undone = self._history.undone(revision, resource, namespace)
        found = {_key(resource, entry.obj): entry for entry in self._index.within(resource, namespace)}
        for key, body in undone.items():
            if body is None:
                found.pop(key, None)
            else:
                obj = decode(body)
                found[key] = Entry(obj, body, int(obj["metadata"]["resourceVersion"]))
        return [found[key] for key in sorted(found, key=lambda key: f"{key.namespace}/{key.name}")]

    def initial(self, resource: str, namespace: str = "") -> tuple[list[Change], int]:
        """Return what is there as ADDED changes, encoded already, and the revision they show: how a watch without a start begins."""
        changes = [_added(resource, entry) for entry in self._index.within(resource, namespace)]
        return changes, self.revision

    def list(self, resource: str, namespace: str = "") -> tuple[list[JSON], int]:
        """Return the objects in etcd's order of (namespace, name), and the revision they show. ``watch(since=revision)`` goes on there."""
        return [entry.obj for entry in self._index.within(resource, namespace)], self.revision

    def watch(self, resource: str, namespace: str = "", *, since: int | None = None) -> Watch:
        """Subscribe to changes after ``since`` (None = from now; a future one stays silent until then). Close the watch in the end.

        Raises: Expired if the history does not reach back that far; the iterator raises it when its consumer falls behind.
        """
        after = self.revision if since is None else since
        backlog = [] if since is None else self._history.since(after, resource, namespace)
        watches = self._watches.setdefault(resource, set())
        watch = Watch(namespace=namespace, after=after, backlog=backlog, newest=lambda: self.revision, detach=watches.discard)
        watches.add(watch)
        return watch

    # Writing

    async def create(self, resource: str, obj: JSON, *, durable: bool = True) -> JSON:
        """Store a new object and return it with its resourceVersion.  Raises: AlreadyExists, Unavailable (not written)."""
        key = _key(resource, obj)
        if present := self._newest(key):
            await self._settle(key, present, durable=False)
            raise _already_exists(key, present.obj)
        return await self._write(key, "ADDED", obj, durable)

    async def update(self, resource: str, obj: JSON, *, expected_revision: int | None, durable: bool = True) -> JSON:
        """Replace an object; ``expected_revision`` None = whatever is there. A write that changes nothing keeps the resourceVersion.

        Raises: NotFound, Conflict (word for word as an API server), Unavailable (not written).
        """
        return await self._mutate(_key(resource, obj), lambda _: obj, expected_revision, durable)

    async def mutate(
        self, resource: str, namespace: str, name: str, function: Callable[[JSON], JSON | Delete | None], *, durable: bool = True
    ) -> JSON:
        """Read, change and write without anybody between; ``function`` must not change its argument. None = leave it as it is.

        Raises: NotFound, Unavailable (not written), whatever ``function`` raises.
        """
        return await self._mutate(Key(resource, namespace, name), function, None, durable)

    async def delete(self, resource: str, namespace: str, name: str, *, expected_revision: int | None = None, durable: bool = True) -> JSON:
        """Remove an object and return its last content with the resourceVersion of the deletion.  Raises: as ``update``."""
        return await self._mutate(Key(resource, namespace, name), lambda obj: Delete(obj=obj), expected_revision, durable)

    async def flush(self) -> None:
        """Return once all that was written so far survives a power loss.  Raises: Unavailable."""
        await asyncio.shield(self._commits.barrier())

    async def _mutate(
        self, key: Key, function: Callable[[JSON], JSON | Delete | None], expected_revision: int | None, durable: bool
    ) -> JSON:
        present = self._newest(key)
        if present is None:
            await self._settle(key, None, durable=False)
            raise _not_found(key)
        if expected_revision not in (None, present.revision):
            await self._settle(key, present, durable=False)
            raise _conflict(key)
        wanted = function(present.obj)
        if isinstance(wanted, Delete):
            return await self._write(key, "DELETED", wanted.obj, durable)
        if wanted is None or wanted is present.obj or same_content(wanted, present.obj):
            await self._settle(key, present, durable=durable)
            return present.obj
        return await self._write(key, "MODIFIED", wanted, durable)

    def _newest(self, key: Key) -> Entry | None:
        """The state a writer is checked against: that of the newest write, committed or not."""
        if write := self._commits.latest(key):
            return None if write.kind == "DELETED" else write.entry
        return self._index.get(key)

    async def _write(self, key: Key, kind: ChangeKind, obj: JSON, durable: bool) -> JSON:
        revision = self._commits.next_revision()
        fresh = stamped(obj, revision)
        write = self._commits.add(key, kind, Entry(fresh, encode(fresh), revision), durable=durable)
        await asyncio.shield(write.done)
        return fresh

    async def _settle(self, key: Key, seen: Entry | None, *, durable: bool) -> None:
        """Wait until an answer that rests on ``seen`` cannot be undone.  Raises: Unavailable if it was."""
        if write := self._commits.latest(key):
            await asyncio.shield(write.done)
        if durable and seen is not None and seen.revision > self._commits.synced:
            await self.flush()

    def _publish(self, write: Write) -> None:
        """Make a committed write visible, in the order of revisions."""
        previous = self._index.get(write.key)
        if write.kind == "DELETED":
            self._index.remove(write.key)
        else:
            self._index.put(write.key, write.entry)
        before = previous.encoded if previous else None
        self._history.add(write.kind, write.key, write.entry.revision, write.entry.encoded, before)
        if watches := self._watches.get(write.key.resource):
            change = _change(write, previous)
            for watch in tuple(watches):
                watch.push(change)


def _load(database: Database) -> Index:
    index = Index()
    for row in database.rows():
        if row.body is not None:
            try:
                index.put(row.key, Entry(decode(row.body), row.body, row.revision))
            except ValueError as error:
                raise database.damaged(f"{row.key.resource} {row.key.name}: {error}") from error
    return index


def _change(write: Write, previous: Entry | None) -> Change:
    return Change(
        kind=write.kind,
        resource=write.key.resource,
        namespace=write.key.namespace,
        name=write.key.name,
        revision=write.entry.revision,
        obj=write.entry.obj,
        encoded=write.entry.encoded,
        previous=previous.obj if previous else None,
    )


def _added(resource: str, entry: Entry) -> Change:
    metadata = entry.obj["metadata"]
    return Change(
        kind="ADDED",
        resource=resource,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        revision=entry.revision,
        obj=entry.obj,
        encoded=entry.encoded,
    )


def _key(resource: str, obj: JSON) -> Key:
    metadata = obj["metadata"]
    return Key(resource, metadata.get("namespace") or "", metadata["name"])


def _not_found(key: Key) -> errors.NotFound:
    plural, _, group = key.resource.partition(".")
    return errors.NotFound.of(plural, key.name, group=group)


def _already_exists(key: Key, present: JSON) -> errors.AlreadyExists:
    plural, _, group = key.resource.partition(".")
    dying = "object is being deleted: " if present["metadata"].get("deletionTimestamp") else ""
    return errors.AlreadyExists(f'{dying}{key.resource} "{key.name}" already exists', resource=plural, name=key.name, group=group)


def _conflict(key: Key) -> errors.Conflict:
    return errors.Conflict(
        f'Operation cannot be fulfilled on {key.resource} "{key.name}": the object has been modified;'
        " please apply your changes to the latest version and try again",
        resource=key.resource,
        name=key.name,
    )

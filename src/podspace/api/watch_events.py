"""How one change looks to one watcher: the type under a selector, the object in the form asked for, as a line of bytes.

Called by ``handlers_watch``. It must not know time, queues or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable

from podspace.api import respond, shape
from podspace.api.call import Call
from podspace.api.selection import Selection
from podspace.kube.json import JSON
from podspace.store import encoding
from podspace.store.change import Change

_PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
_EMPTY_MEMBERS = {
    "Pod": ("spec", "status"),
    "Namespace": ("spec", "status"),
    "Node": ("spec", "status"),
    "Service": ("spec", "status"),
    "Lease": ("spec",),
}


class Renderer:
    """Turns changes into lines for one stream; remembers that a Table's columns are told once."""

    def __init__(self, call: Call, selected: Selection) -> None:
        self._call = call
        self._selected = selected
        self._outgoing = call.strategy.outgoing
        self._plain = not call.form.transform and call.strategy.key == call.target.resource.qualified
        self._columns_sent = False

    def lines(self, changes: Iterable[Change]) -> bytes:
        """The events of some changes, b"" if the selector hides them all."""
        if self._plain and not self._selected:
            return b"".join([change.line for change in changes])
        return b"".join(self._line(change) for change in changes)

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> bytes:
        """A BOOKMARK: everything up to this revision has been sent."""
        resource = self._call.target.resource
        metadata: JSON = {"resourceVersion": str(revision)}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: JSON = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._call.form.table:
            obj = self._marked_table(obj)
        elif self._call.form.partial:
            obj = shape.partial(self._call, obj)
        else:
            obj.update((member, {}) for member in _EMPTY_MEMBERS.get(resource.kind, ()))
        return _event("BOOKMARK", respond.encode(obj))

    def _marked_table(self, obj: JSON) -> JSON:
        """One row, whose object has what the bookmark says and whose cells nobody looks at."""
        rendered = shape.table(self._call, [], {"resourceVersion": obj["metadata"]["resourceVersion"]})
        blank = ["" for _ in rendered["columnDefinitions"]]
        rendered["rows"] = [{"cells": blank, "object": {**obj, **_PARTIAL}}]
        return self._columns_once(rendered)

    def _line(self, change: Change) -> bytes:
        kind: str | None = change.kind
        if self._selected:
            kind = self._selected_kind(change)
            if kind is None:
                return b""
        assert kind is not None
        left = kind == "DELETED" and change.kind != "DELETED"  # the selector only: shown as it was when it still belonged here
        if self._plain and not left:
            return change.line if kind == change.kind else _event(kind, change.encoded)
        stored = change.obj
        if left:
            assert change.previous is not None
            stored = encoding.stamped(change.previous, change.revision)
        return _event(kind, respond.encode(self._shaped(self._outgoing(stored))))

    def _shaped(self, obj: JSON) -> JSON:
        if self._call.form.table:
            return self._table([obj], {"resourceVersion": obj["metadata"]["resourceVersion"]})
        return shape.partial(self._call, obj) if self._call.form.partial else obj

    def _selected_kind(self, change: Change) -> str | None:
        """An object that begins to match is ADDED to this watcher, one that ceases to is DELETED; None = not this watcher's."""
        matched = change.previous is not None and self._selected.matches(self._outgoing(change.previous))
        if change.kind == "DELETED":
            return "DELETED" if matched else None
        matches = self._selected.matches(self._outgoing(change.obj))
        if matches:
            return "MODIFIED" if matched else "ADDED"
        return "DELETED" if matched else None

    def _table(self, objects: list[JSON], list_metadata: JSON) -> JSON:
        return self._columns_once(shape.table(self._call, objects, list_metadata))

    def _columns_once(self, rendered: JSON) -> JSON:
        if self._columns_sent:
            rendered["columnDefinitions"] = None
        self._columns_sent = True
        return rendered


def _event(kind: str, encoded: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), encoded)

"""GET of a collection: selectors, pages that show one moment, resourceVersion rules.

Called by ``dispatch``.
Source: Kubernetes API concepts, "resource versions" and "retrieving large results sets in chunks", as seen on the wire.
"""

from __future__ import annotations

import contextlib

from aiohttp import web

from podspace import errors
from podspace.api import list_options, selection, shape, snapshots
from podspace.api.call import Call
from podspace.api.list_options import ListOptions
from podspace.kube.json import JSON
from podspace.store.index import Entry


async def list_objects(call: Call) -> web.StreamResponse:
    """Answer with a list, a Table or metadata only.  Raises: Invalid, BadRequest, Expired, TimedOut."""
    options = list_options.for_list(call.query)
    if call.form.table:
        shape.include_object(call)
    selected = selection.of(call.query, call.target.resource)
    if options.token:
        position = snapshots.position(options.token)
        objects, revision = _continued(call, position)
        objects = _after(objects, position.start)
    else:
        list_options.refuse_future(options.revision, call.store.revision)
        objects, revision = _fresh(call, options)
    whole = objects
    if selected:
        outgoing = call.strategy.outgoing
        objects = [entry for entry in objects if selected.matches(outgoing(entry.obj))]
    page, list_metadata = _page(objects, revision, options.limit, counted=not selected)
    _remember(call, whole, revision, more="continue" in list_metadata)
    if call.takes_as_stored:
        return call.send(shape.many_encoded(call, page, list_metadata))
    return call.answer(shape.many(call, [entry.obj for entry in page], list_metadata))


def _fresh(call: Call, options: ListOptions) -> tuple[list[Entry], int]:
    """The list as it is, or as it was at exactly one revision."""
    key, namespace = call.strategy.key, call.target.namespace
    if options.match != "Exact" or options.revision in (None, call.store.revision):
        return call.store.entries(key, namespace)
    assert options.revision is not None
    try:
        return call.store.entries_at(options.revision, key, namespace), options.revision
    except errors.Expired as error:
        raise errors.Expired("The resourceVersion for the provided list is too old.") from error


def _continued(call: Call, position: snapshots.Position) -> tuple[list[Entry], int]:
    """What the first page saw: kept since then, or put together again from the history.  Raises: Expired."""
    key, namespace = call.strategy.key, call.target.namespace
    if not position.consistent or position.revision == call.store.revision:
        return call.store.entries(key, namespace)
    try:
        return call.services.snapshots.find(key, namespace, position), position.revision
    except errors.Expired:
        with contextlib.suppress(errors.Expired):
            return call.store.entries_at(position.revision, key, namespace), position.revision
        raise


def _after(objects: list[Entry], start: str) -> list[Entry]:
    return [entry for entry in objects if place(entry.obj) > start]


def place(obj: JSON) -> str:
    """Where an object is in the order of lists."""
    return f"{obj['metadata'].get('namespace') or ''}/{obj['metadata']['name']}"


def _page(objects: list[Entry], revision: int, limit: int, *, counted: bool) -> tuple[list[Entry], JSON]:
    """Cut a page off; with a selector nobody knows how many remain (the API server does not count them either)."""
    list_metadata: JSON = {"resourceVersion": str(revision)}
    if not limit or len(objects) <= limit:
        return objects, list_metadata
    page = objects[:limit]
    list_metadata["continue"] = snapshots.Position(revision=revision, start=place(page[-1].obj)).token()
    if counted:
        list_metadata["remainingItemCount"] = len(objects) - limit
    return page, list_metadata


def _remember(call: Call, objects: list[Entry], revision: int, *, more: bool) -> None:
    if more:
        call.services.snapshots.keep(call.strategy.key, call.target.namespace, revision, objects)

"""The form an object or a list takes: as it is, as a Table, or as metadata only.

Called by the handlers that answer with objects. It must not know the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from podspace import errors
from podspace.api.respond import encode as _encode
from podspace.kube.json import JSON
from podspace.store.index import Entry

if TYPE_CHECKING:
    from podspace.api.call import Call

_INCLUDES = ("", "Metadata", "Object", "None")


def include_object(call: Call) -> str:
    """What a Table's rows carry.  Raises: BadRequest."""
    asked = call.query.get("includeObject")
    if asked not in _INCLUDES:
        raise errors.BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{asked}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return asked or "Metadata"


def one(call: Call, stored: JSON) -> JSON:
    """A single object, given as stored, in the form asked for."""
    obj = call.strategy.outgoing(stored)
    if call.form.table:
        return table(call, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
    if call.form.partial:
        return partial(call, obj)
    return obj


def many(call: Call, stored: Sequence[JSON], list_metadata: JSON) -> JSON:
    """A list, given as stored, in the form asked for. Items of a plain list have no kind and apiVersion of their own."""
    outgoing = call.strategy.outgoing
    if call.form.table:
        return table(call, [outgoing(obj) for obj in stored], list_metadata)
    if call.form.partial:
        items = [partial(call, obj) for obj in stored]
        return {"kind": "PartialObjectMetadataList", "apiVersion": call.form.meta_version, "metadata": list_metadata, "items": items}
    resource = call.target.resource
    items = [bare(outgoing(obj)) for obj in stored]
    return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": list_metadata, "items": items}


def many_encoded(call: Call, stored: Sequence[Entry], list_metadata: JSON) -> bytes:
    """A plain list put together from what was encoded when each object was written."""
    resource = call.target.resource
    head = _encode({"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": list_metadata, "items": []})
    known = b'{"kind":"%b","apiVersion":"%b",' % (resource.kind.encode(), resource.api_version.encode())
    size = len(known)
    items = [b"{" + entry.encoded[size:] if entry.encoded.startswith(known) else _encode(bare(entry.obj)) for entry in stored]
    return head[:-2] + b",".join(items) + b"]}\n"


def table(call: Call, objects: Sequence[JSON], list_metadata: JSON) -> JSON:
    """Render rows as kubectl prints them."""
    from podspace.kube import table as tables

    include = include_object(call)
    rendered = tables.render(call.target.resource, objects, list_metadata, call.services.now(), include)
    if call.form.version != "v1":
        rendered["apiVersion"] = call.form.meta_version
    return rendered


def partial(call: Call, obj: JSON) -> JSON:
    """An object without its content."""
    return {"kind": "PartialObjectMetadata", "apiVersion": call.form.meta_version, "metadata": obj["metadata"]}


def bare(obj: JSON) -> JSON:
    """An object as lists hold it."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}

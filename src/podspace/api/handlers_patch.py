"""PATCH: JSON patch, merge patch and strategic merge patch of an object or of one of its views; apply is in ``handlers_apply``.

Called by ``dispatch``. The patch is applied inside ``Store.mutate``, to the newest object, so there is nothing to retry; a stale
resourceVersion in the patch is a conflict. The patch languages themselves are in ``kube.patch``.
Source: apiserver handlers/patch.go, as seen on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from podspace import errors
from podspace.api import handlers_apply, query, shape, updating
from podspace.api.call import Call
from podspace.kube import gotext
from podspace.kube.json import JSON
from podspace.store.store import Delete

_JSON_PATCH = "application/json-patch+json"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_APPLY = "application/apply-patch+yaml"


async def patch(call: Call) -> web.StreamResponse:
    """Answer with the object as it is stored now.  Raises: UnsupportedMediaType, NotFound, BadRequest, Conflict, Invalid, Internal."""
    if call.content_type == _APPLY:
        return await handlers_apply.apply(call)
    if call.content_type not in (_JSON_PATCH, _MERGE, _STRATEGIC):
        raise errors.UnsupportedMediaType("415: Unsupported Media Type")
    options = query.write_options(call.query, "PatchOptions")
    body = await call.body()
    call.existing()
    parsed = _parsed(body)
    apply = _applier(call, parsed)

    def change(old: JSON) -> JSON | Delete:
        return updating.settle(call, old, _patched(call, old, parsed, apply, options.field_validation))

    if options.dry_run:
        settled = change(call.existing())
        return call.answer(shape.one(call, settled.obj if isinstance(settled, Delete) else settled))
    stored = await call.store.mutate(*call.path, change, durable=call.strategy.durable)
    return call.answer_stored(stored)


def _parsed(body: bytes) -> Any:
    """Raises: BadRequest."""
    from podspace.kube import decode

    try:
        return decode.parse_json(body)
    except ValueError as error:
        raise errors.BadRequest(f"error decoding patch: {error}") from error


def _applier(call: Call, parsed: Any) -> Callable[[JSON], JSON]:
    """What applies the patch to an object."""
    from podspace.kube import patch as patches
    from podspace.kube import schema

    resource = call.target.resource
    match call.content_type:
        case "application/json-patch+json":
            return lambda obj: patches.json_patch(obj, parsed)
        case "application/merge-patch+json":
            return lambda obj: patches.merge_patch(obj, parsed)
        case _:
            return lambda obj: patches.strategic_merge(schema.model_of(resource.kind, resource.group), obj, parsed)


def _patched(call: Call, old: JSON, parsed: Any, apply: Callable[[JSON], JSON], field_validation: str) -> JSON:
    """The stored form of the patched object; ``old`` stays untouched."""
    from podspace.kube import defaults, schema, strict

    resource = call.target.resource
    patched = apply(call.strategy.outgoing(old))
    checked = strict.convert(patched, schema.model_of(resource.kind, resource.group))
    prefix = "json patch " if call.content_type == _JSON_PATCH else ""
    problems = [f"{prefix}{words}" for words in strict.repeated(parsed)] + checked.problems
    if problems and field_validation == "Strict":
        raise _strict_failure(_shown(call, parsed, patched), problems)
    call.warnings[:] = problems if field_validation == "Warn" else []
    updating.check_identity(call, patched)
    wanted = {"kind": resource.kind, "apiVersion": resource.api_version, **checked.obj}
    defaults.apply(resource.kind, wanted)
    return call.strategy.incoming(wanted)


def _shown(call: Call, parsed: Any, patched: JSON) -> str:
    """What the API server calls the invalid value: a strategic patch as Go prints it, else the whole patched object."""
    if call.content_type == _STRATEGIC:
        return gotext.go_print(parsed)
    return json.dumps(patched, separators=(",", ":"), ensure_ascii=False)


def _strict_failure(value: str, unknown: list[str]) -> errors.Invalid:
    message = f"Invalid value: {json.dumps(value, ensure_ascii=False)}: strict decoding error: {', '.join(unknown)}"
    return errors.Invalid("", "", [errors.Cause(reason="FieldValueInvalid", message=message, field="patch")])

"""PUT of an object or of one of its views (status, finalize, ephemeralcontainers).

Called by ``dispatch``.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors
from podspace.api import handlers_create, metadata, query, shape, updating
from podspace.api.call import Call
from podspace.kube.json import JSON
from podspace.store.store import Delete


async def update(call: Call) -> web.StreamResponse:
    """Answer with the object as it is stored now.  Raises: NotFound, Conflict, Invalid, BadRequest."""
    options = query.write_options(call.query, "UpdateOptions")
    obj = await handlers_create.decoded(call, options.field_validation)
    _check_name(call, obj)
    handlers_create.check_namespace(call, obj)
    call.existing()
    wanted = _defaulted(call, obj)
    if options.dry_run:
        return call.answer(shape.one(call, _unwrapped(updating.settle(call, call.existing(), wanted))))
    stored = await call.store.mutate(*call.path, lambda old: updating.settle(call, old, wanted), durable=call.strategy.durable)
    return call.answer_stored(stored)


def _defaulted(call: Call, obj: JSON) -> JSON:
    from podspace.kube import defaults

    defaults.apply(call.target.resource.kind, obj)
    return call.strategy.incoming(obj)


def _unwrapped(settled: JSON | Delete) -> JSON:
    return settled.obj if isinstance(settled, Delete) else settled


def _check_name(call: Call, obj: JSON) -> None:
    """Raise BadRequest unless body and path name the same object."""
    given, name = metadata.name_of(obj), call.target.name
    if not given:
        raise errors.BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if given != name:
        raise errors.BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")

"""DELETE of an object or of a whole collection.

Called by ``dispatch``. What a delete means is in ``deletion``; here is how it is asked for and answered.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors
from podspace.api import deletion, list_options, selection, shape, status_http
from podspace.api.call import Call
from podspace.kube.json import JSON


async def delete(call: Call) -> web.StreamResponse:
    """Answer with the object, or with a Status for kinds that do so.  Raises: NotFound, Conflict, Forbidden, Invalid, BadRequest."""
    options = deletion.options_of(await _delete_options(call))
    outcome = await deletion.delete(call.services, call.strategy, call.target.namespace, call.target.name, options)
    if call.strategy.answers_object_on_delete or not outcome.gone:
        return call.answer(shape.one(call, outcome.obj))
    resource = call.target.resource
    details: JSON = {"name": call.target.name, "group": resource.group, "kind": resource.plural, "uid": outcome.obj["metadata"]["uid"]}
    if not resource.group:
        del details["group"]
    return call.answer(status_http.success(details=details))


async def delete_collection(call: Call) -> web.StreamResponse:
    """Delete what the selectors match and answer with a list of it."""
    list_options.for_list(call.query)
    options = deletion.options_of(await _delete_options(call))
    selected = selection.of(call.query, call.target.resource)
    objects, revision = call.store.list(call.strategy.key, call.target.namespace)
    deleted = []
    for obj in objects:
        if selected and not selected.matches(call.strategy.outgoing(obj)):
            continue
        try:
            outcome = await deletion.delete(call.services, call.strategy, call.target.namespace, obj["metadata"]["name"], options)
        except errors.NotFound:
            continue  # somebody else was quicker
        deleted.append(obj if outcome.gone else outcome.obj)
    return call.answer(shape.many(call, deleted, {"resourceVersion": str(revision)}))


async def _delete_options(call: Call) -> JSON:
    """DeleteOptions from the body, else from the query."""
    from podspace.kube import decode

    body = await call.body()
    if body:
        return decode.decode_options(body, call.content_type, "DeleteOptions")
    options: JSON = {}
    grace = call.query.integer("gracePeriodSeconds")
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if call.query.get("propagationPolicy"):
        options["propagationPolicy"] = call.query.get("propagationPolicy")
    if call.query.all("dryRun"):
        options["dryRun"] = call.query.all("dryRun")
    preconditions = {key: call.query.get(f"preconditions.{key}") for key in ("uid", "resourceVersion")}
    options["preconditions"] = {key: value for key, value in preconditions.items() if value}
    return options

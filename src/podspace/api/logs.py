"""GET of a container's log.

Called by ``dispatch``. Reading and following is the backend's; here are the parameters and the stream of bytes.
Source: core/v1 PodLogOptions and its validation, as seen on the wire.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from podspace import errors
from podspace.api import containers, respond
from podspace.api.backend import LogOptions
from podspace.api.call import Call
from podspace.kube import times


async def log(call: Call) -> web.StreamResponse:
    """Stream the log as text. 204 for a Pod that is not scheduled.  Raises: NotFound, BadRequest, Invalid; the backend's."""
    pod = call.existing()
    container = containers.choose(pod, call.query.get("container"))
    options = parse(call)
    if not containers.is_scheduled(pod):
        return web.Response(status=204)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(call.services.sessions.held())
        chunks = call.services.backend.logs(pod, container, options)
        close = getattr(chunks, "aclose", None)
        if close is not None:
            stack.push_async_callback(close)
        first = await anext(chunks, b"")  # what goes wrong before the first byte can still be a Status
        return await _send(call, first, chunks)


async def _send(call: Call, first: bytes, rest: AsyncIterator[bytes]) -> web.StreamResponse:
    async with respond.stream(call.http, "text/plain") as feed:
        if first:
            await feed.write(first)
        async for chunk in rest:
            await feed.write(chunk)
    return feed.answer


def parse(call: Call) -> LogOptions:
    """Read the query.  Raises: BadRequest (not a number), Invalid (out of range)."""
    query = call.query
    tail, since, limit = query.integer("tailLines"), query.integer("sinceSeconds"), query.integer("limitBytes")
    since_text = query.get("sinceTime")
    causes = []
    if tail is not None and tail < 0:
        causes.append(_invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(_invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and since_text:
        causes.append(_forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since is not None and since < 1:
        causes.append(_invalid("sinceSeconds", since, "must be greater than 0"))
    if query.get("stream") not in ("", "All"):
        causes.append(_forbidden("stream", "may not be specified"))
    if causes:
        raise errors.Invalid("PodLogOptions", call.target.name, causes)
    return LogOptions(
        follow=query.flag("follow"),
        previous=query.flag("previous"),
        timestamps=query.flag("timestamps"),
        tail_lines=tail,
        since_seconds=since,
        since_time=_time(since_text),
        limit_bytes=limit,
    )


def _time(text: str) -> float | None:
    if not text:
        return None
    try:
        return times.parse(text)
    except ValueError as error:
        raise errors.BadRequest(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"') from error


def _invalid(field: str, value: int, detail: str) -> errors.Cause:
    return errors.Cause(reason="FieldValueInvalid", message=f"Invalid value: {value}: {detail}", field=field)


def _forbidden(field: str, detail: str) -> errors.Cause:
    return errors.Cause(reason="FieldValueForbidden", message=f"Forbidden: {detail}", field=field)

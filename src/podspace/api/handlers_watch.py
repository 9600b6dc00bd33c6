"""Watching a collection: a stream of changes, one JSON line (or message of a WebSocket) each, until the client has seen enough.

Called by ``dispatch``. Every watcher of a plain change sends the same bytes (``Change.encoded``). What a change means under a selector
and how it looks in a Table is in ``watch_events``.
Source: Kubernetes API concepts, "efficient detection of changes"; KEP-3157 (sendInitialEvents), as seen on the wire.
"""

from __future__ import annotations

import asyncio
import random

from aiohttp import web

from podspace import errors
from podspace.api import list_options, respond, selection, shape, status_http, watch_events
from podspace.api.call import Call
from podspace.store.watch import Watch
from podspace.streaming.feed import Feed

_BOOKMARK_SECONDS = 60.0
_LAST_BOOKMARK_SECONDS = 2.0  # before the end of a stream with timeoutSeconds
_STUCK_SECONDS = 60.0
_PIECE_BYTES = 64 * 1024
_LONGEST_SECONDS = 1800.0  # and up to twice that, so that not all clients come back at once


async def watch(call: Call) -> web.StreamResponse:
    """Stream events.  Raises, before the stream begins: Invalid, BadRequest, Internal (resourceVersion is not a number)."""
    list_options.check_watch(call.query)
    if call.form.table:
        shape.include_object(call)
    selected = selection.of(call.query, call.target.resource, name=call.target.name)
    version = call.query.get("resourceVersion")
    if version and not (version.isascii() and version.isdigit() and len(version) <= list_options.LONGEST_REVISION):
        raise errors.Internal(list_options.not_a_number(version))
    renderer = watch_events.Renderer(call, selected)
    initial = call.query.flag("sendInitialEvents")
    since = None if initial or version in ("", "0") else int(version)
    async with respond.stream(call.http, "application/json", lines=True) as feed:
        await _stream(call, feed, renderer, since, initial)
    return feed.answer


async def _stream(call: Call, feed: Feed, renderer: watch_events.Renderer, since: int | None, initial: bool) -> None:
    try:
        head = b""
        if since is None:
            changes, since = call.store.initial(call.strategy.key, call.target.namespace)
            head = renderer.lines(changes)
            if initial and call.query.flag("allowWatchBookmarks"):
                head += renderer.bookmark(since, initial_events_end=True)
        with call.store.watch(call.strategy.key, call.target.namespace, since=since) as changes_to_come:
            if head:
                await _write(call, feed, head)
            await _follow(call, feed, renderer, changes_to_come)
    except errors.Expired as error:
        status = status_http.translate(error).status
        await _write(call, feed, b'{"type":"ERROR","object":' + respond.encode(status) + b"}\n")


async def _write(call: Call, feed: Feed, lines: bytes) -> None:
    """Send; a client that takes nothing for a minute is cut off: what waits for it would stay in memory for ever."""
    transport = call.http.transport
    if transport is None or (len(lines) <= _PIECE_BYTES and not transport.get_write_buffer_size()):
        await feed.write(lines)
        return
    for start in range(0, len(lines), _PIECE_BYTES):
        try:
            async with asyncio.timeout(_STUCK_SECONDS):
                await feed.write(lines[start : start + _PIECE_BYTES])
        except TimeoutError:
            transport.abort()
            raise ConnectionResetError("the client does not read") from None


async def _follow(call: Call, feed: Feed, renderer: watch_events.Renderer, changes: Watch) -> None:
    """Send what happens until the time is up or the server stops."""
    loop = asyncio.get_running_loop()
    asked = call.query.integer("timeoutSeconds") or 0
    end = loop.time() + (asked if asked > 0 else _LONGEST_SECONDS * (1 + random.random()))
    bookmarks = _Bookmarks(wanted=call.query.flag("allowWatchBookmarks"), now=loop.time(), end=end)
    timer = loop.call_at(bookmarks.next(), changes.poke)
    try:
        with call.services.streams.open(changes.close):
            while True:
                batch = await changes.batch()
                if batch:
                    if lines := renderer.lines(batch):
                        await _write(call, feed, lines)
                elif changes.closed or loop.time() >= end:
                    return
                else:
                    await _write(call, feed, renderer.bookmark(changes.revision))
                    bookmarks.sent(loop.time())
                    timer = loop.call_at(bookmarks.next(), changes.poke)
    finally:
        timer.cancel()


class _Bookmarks:
    """When the next one is due: about once a minute, and shortly before the end."""

    def __init__(self, *, wanted: bool, now: float, end: float) -> None:
        self._wanted = wanted
        self._end = end
        self._due: list[float] = []
        self.sent(now)

    def next(self) -> float:
        return self._due[0] if self._due else self._end

    def sent(self, now: float) -> None:
        due = [now + _BOOKMARK_SECONDS, self._end - _LAST_BOOKMARK_SECONDS] if self._wanted else []
        self._due = sorted(moment for moment in due if now < moment < self._end)

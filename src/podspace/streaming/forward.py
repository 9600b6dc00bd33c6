"""Port-forward: each pair of SPDY streams is one TCP connection into a Pod.

Used by ``upgrade``. Half-closes pass through both ways as far as SPDY and kubectl know them. It must not know Pods: ``connect`` does. The
older way, without SPDY, is in ``forward_channels``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from podspace.streaming.connection import Connect, Connection
from podspace.streaming.link import Link
from podspace.streaming.spdy import SpdySession, SpdyStream
from podspace.wire import portforward

PAIR_SECONDS = 30.0  # a kubelet waits as long for the second stream of a pair


class Forwarder:
    """All connections of one client. ``describe`` makes the message of a failure from port and reason."""

    def __init__(self, link: Link, connect: Connect, describe: Callable[[int, str], str]) -> None:
        self._session = SpdySession(link, self._accept)
        self._connect = connect
        self._describe = describe
        self._pairing = portforward.Pairing()
        self._streams: dict[int, SpdyStream] = {}  # those that wait for their counterpart
        self._paired: dict[str, asyncio.Event] = {}
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Serve until the client leaves; what is still open is closed then."""
        try:
            async with self._group:
                await self._session.run()
                raise _Left
        except* _Left:
            pass
        await self._session.close()

    def _accept(self, stream: SpdyStream) -> None:
        half = portforward.parse(stream.id, stream.headers)
        pair = self._pairing.add(half)
        if half.kind == "error":
            stream.inbox.discard()  # the client has nothing to say there
        self._streams[stream.id] = stream
        if pair is None:
            paired = self._paired[half.request_id] = asyncio.Event()
            self._group.create_task(self._expire(half, paired))
            return
        self._paired.pop(half.request_id).set()
        data, error = self._streams.pop(pair.data_stream), self._streams.pop(pair.error_stream)
        self._group.create_task(Connection(data, error, pair.port, self._describe).run(self._connect))

    async def _expire(self, half: portforward.Half, paired: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAIR_SECONDS):
                await paired.wait()
        if paired.is_set():
            return
        self._pairing.give_up(half.request_id)
        del self._paired[half.request_id]
        stream = self._streams.pop(half.stream_id)
        with contextlib.suppress(ConnectionError):
            if half.kind == "error":
                await stream.write(self._describe(half.port, "timed out waiting for the data stream").encode())
                await stream.finish()
            await stream.reset()


class _Left(Exception):
    """The client is gone: ends the task group."""

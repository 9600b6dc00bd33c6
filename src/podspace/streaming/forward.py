"""Port-forward: each pair of SPDY streams is one TCP connection into a Pod.

Used by ``upgrade``. Half-closes pass through both ways as far as SPDY and kubectl know them. It must not know Pods: ``connect`` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from podspace import errors
from podspace.streaming.channel import PIECE_BYTES
from podspace.streaming.link import Link
from podspace.streaming.spdy import SpdySession, SpdyStream
from podspace.wire import portforward

_log = logging.getLogger(__name__)

Connect = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

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
        self._group.create_task(_Connection(data, error, pair.port, self._describe).run(self._connect))

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


class _Connection:
    """One forwarded TCP connection."""

    def __init__(self, data: SpdyStream, error: SpdyStream, port: int, describe: Callable[[int, str], str]) -> None:
        self._data = data
        self._error = error
        self._port = port
        self._describe = describe

    async def run(self, connect: Connect) -> None:
        """Connect, copy both ways, close. One connection's end is never the others'."""
        try:
            reader, writer = await connect(self._port)
        except (errors.PodspaceError, OSError) as error:
            await self._refuse(str(error))
        except Exception:  # a flaw in connect shall cost this connection, not its neighbours
            _log.exception("port-forward to port %d failed", self._port)
            await self._refuse("the server's log says why")
        else:
            await self._copy(reader, writer)

    async def _refuse(self, reason: str) -> None:
        with contextlib.suppress(ConnectionError):
            await self._fail(reason)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upload(writer))
                group.create_task(self._download(reader))
            writer.close()  # what is not sent yet still will be
        except* ConnectionError:
            pass  # the client reset the stream or left: there is nobody to be told
        finally:
            if not writer.is_closing():
                _break_off(writer)

    async def _upload(self, writer: asyncio.StreamWriter) -> None:
        """Client to Pod. A Pod that does not want more may still answer, so what it refuses is thrown away."""
        while data := await self._data.inbox.get():
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                self._data.inbox.discard()
                return
        with contextlib.suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()

    async def _download(self, reader: asyncio.StreamReader) -> None:
        """Pod to client. The end is told on both streams: kubectl closes the local connection only then."""
        try:
            while data := await reader.read(PIECE_BYTES):
                await self._data.write(data)
        except OSError as error:
            if self._data.gone:
                raise
            await self._fail(str(error))
            return
        await self._data.finish()
        await self._error.finish()

    async def _fail(self, reason: str) -> None:
        self._data.inbox.discard()
        await self._error.write(self._describe(self._port, reason).encode())
        await self._error.finish()
        await self._data.finish()


def _break_off(writer: asyncio.StreamWriter) -> None:
    """Close; but do not wait for a Pod to read what its client no longer wants said."""
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    else:
        writer.close()

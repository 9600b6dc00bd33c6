"""One forwarded TCP connection: bytes between a client's pair of streams and a port of a Pod, whatever protocol the streams are of.

Used by ``forward`` (streams of SPDY) and ``forward_channels`` (channels of a WebSocket). It must not know either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from podspace import errors
from podspace.streaming.channel import PIECE_BYTES, Inbox

_log = logging.getLogger(__name__)

Connect = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Stream(Protocol):
    """One half of a pair: what the client sent waits in ``inbox``."""

    inbox: Inbox
    gone: bool  # broken off, by either side

    async def write(self, data: bytes | memoryview, /) -> None:
        """Raises: ConnectionResetError when the client is gone."""

    async def finish(self) -> None:
        """Say that nothing more will be sent."""


class Connection:
    """``describe`` makes the message of a failure from port and reason."""

    def __init__(self, data: Stream, error: Stream, port: int, describe: Callable[[int, str], str]) -> None:
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
            await self._fail(str(error.strerror or error).lower())
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

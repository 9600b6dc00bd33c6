"""A raw connection to the client after an HTTP upgrade: bytes both ways, with back-pressure, and an orderly end.

Used by ``spdy``. Two kinds: the TCP or TLS connection itself, taken over from aiohttp, and a WebSocket whose binary
messages, put together, are the same bytes. It must not know SPDY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import WSMsgType, web

from podspace import errors

READ_BYTES = 256 * 1024


class Link(Protocol):
    """One connection. After the client is gone ``read`` returns b"" and ``write`` raises ConnectionResetError."""

    async def read(self) -> bytes:
        """Return what has come, b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of ``data`` in one go (never mixed with another call's), and wait while the client is slower than we are."""

    async def close(self) -> None:
        """Say goodbye; what was written still arrives."""


class _TakenOver(asyncio.StreamReaderProtocol):
    """Feeds a StreamReader, and lets aiohttp know when the connection it once had is lost (it counts them)."""

    def __init__(self, reader: asyncio.StreamReader, origin: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._origin = origin

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._origin.connection_lost(exc)


class StreamLink:
    """A TCP or TLS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:  # reset, timed out by keepalive, TLS broken off: gone is gone
            return b""

    async def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the client is gone")
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as error:
            raise ConnectionResetError("the client is gone") from error

    async def close(self) -> None:
        self._writer.close()  # sends what is left by itself; nobody needs to wait for that


class WebSocketLink:
    """A tunnel through a prepared WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is not WSMsgType.TEXT:
                return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()


async def take_over(request: web.Request, headers: Mapping[str, str]) -> tuple[web.StreamResponse, StreamLink]:
    """Answer 101 with ``headers`` and take the connection from aiohttp, which gets it back only to close it.

    Raises: BadRequest (a request with a body cannot be upgraded), ConnectionResetError.
    """
    if request.can_read_body:
        raise errors.BadRequest("Upgrade request must not have a body")
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    await response.prepare(request)
    transport, origin = request.transport, request.protocol
    if transport is None:
        raise ConnectionResetError("the client is gone")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_BYTES, loop=loop)
    protocol = _TakenOver(reader, origin)
    protocol.connection_made(transport)
    # The client speaks only after it has read our 101, which left this process no earlier than a moment ago: nothing is lost in between.
    transport.set_protocol(protocol)
    return response, StreamLink(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

"""What only goes to the client, a log or a watch, in the messages of a WebSocket, as an API server offers it to browsers.

Called by ``api/respond``, which writes the same bytes into a plain answer when nobody asks for a WebSocket. It must not know what is sent.
Source: apimachinery wsstream.Reader (protocols, the empty first message), apiserver's watch.go (an event in a text message each).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from podspace import errors
from podspace.streaming import upgrade
from podspace.wire import remotecommand

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
PROTOCOLS = (remotecommand.UNNAMED, BINARY, BASE64)


@dataclass(frozen=True, slots=True)
class Feed:
    """An answer that has begun. ``write`` raises ConnectionResetError once the client is gone."""

    answer: web.StreamResponse
    write: Callable[[bytes], Awaitable[None]]


@contextlib.asynccontextmanager
async def of_bytes(request: web.BaseRequest) -> AsyncIterator[Feed]:
    """A message for each ``write``, in base64 for who asks for that.  Raises: Forbidden (nothing that is offered is served), BadRequest."""
    protocol = remotecommand.negotiate(upgrade.websocket_offers(request), PROTOCOLS)
    if protocol is None:
        raise errors.Forbidden(upgrade.unserved(request, PROTOCOLS))
    socket = await upgrade.open_websocket(request, protocol)

    async def write(data: bytes) -> None:
        await (socket.send_str(base64.b64encode(data).decode("ascii")) if protocol == BASE64 else socket.send_bytes(data))

    async with _until_it_leaves(socket):
        with contextlib.suppress(ConnectionResetError):
            await write(b"")  # an API server's: some clients wait for it
        yield Feed(socket, write)


@contextlib.asynccontextmanager
async def of_lines(request: web.BaseRequest) -> AsyncIterator[Feed]:
    """A message of text for each line, without its end, whatever protocol the client offers.  Raises: BadRequest."""
    socket = await upgrade.open_websocket(request, upgrade.websocket_offers(request)[0])
    begun = b""

    async def write(data: bytes) -> None:
        nonlocal begun
        *lines, begun = (begun + data).split(b"\n")
        for line in lines:
            await socket.send_str(line.decode())

    async with _until_it_leaves(socket):
        yield Feed(socket, write)


@contextlib.asynccontextmanager
async def _until_it_leaves(socket: web.WebSocketResponse) -> AsyncIterator[None]:
    """Read the pings and the farewell of a client that has nothing else to say. Its leaving ends the connection, and that the handler."""
    listening = asyncio.create_task(_listen(socket))
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.wait([listening])
    await socket.close()


async def _listen(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        pass

"""The two shapes in which the client of exec and attach comes: channels in a WebSocket, or streams in a SPDY connection.

Used by ``upgrade``, which has answered the upgrade, and driven by ``command.converse``. It must not know what is run.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType, web

from podspace import errors
from podspace.streaming.channel import Budget, Inbox, RemoteStreams
from podspace.streaming.link import Link
from podspace.streaming.spdy import SpdySession, SpdyStream
from podspace.wire import remotecommand
from podspace.wire.protocol import ProtocolError
from podspace.wire.remotecommand import Channel

STDIN_BUFFER_BYTES = 256 * 1024
STALL_PONG_SECONDS = 5.0
OPEN_SECONDS = 30.0  # a kubelet waits as long for all streams of a client
FAREWELL_SECONDS = 60.0


class WebSocketPeer:
    """A client on a prepared WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> None:
        self._socket = socket
        self._protocol = socket.ws_protocol or remotecommand.UNNAMED
        self._budget = Budget(STDIN_BUFFER_BYTES)
        self._stdin = Inbox(self._budget)
        self.streams = RemoteStreams(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty, inbox=self._stdin, send=self._send)

    async def _send(self, channel: Channel, data: bytes | memoryview) -> None:
        message = remotecommand.encode(self._protocol, channel, data)
        if remotecommand.is_base64(self._protocol):
            await self._socket.send_str(message.decode("ascii"))
        else:
            await self._socket.send_bytes(message)

    async def ready(self) -> None:
        # Before v5 the server shows that the session stands by an empty message; some clients wait for it.
        if self._protocol != remotecommand.V5:
            opened = Channel.STDOUT if self.streams.stdout else Channel.STDERR if self.streams.stderr else Channel.ERROR
            await self._send(opened, b"")

    async def listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                data = message.data
            elif message.type is WSMsgType.TEXT:
                data = message.data.encode()
            else:
                return
            if not self._take(data):
                return
            await wait_for_room(self._socket, self._budget)

    def _take(self, data: bytes) -> bool:
        try:
            channel, payload = remotecommand.decode(self._protocol, data)
        except ProtocolError:
            return False
        if channel == Channel.STDIN:
            self._stdin.put(payload)
        elif channel == Channel.RESIZE:
            self.streams.feed_resize(payload)
        elif channel == Channel.CLOSE and payload == bytes((Channel.STDIN,)):
            self._stdin.end()
        return True

    async def conclude(self, status: dict[str, Any]) -> None:
        if message := remotecommand.encode_status(self._protocol, status):
            await self._send(Channel.ERROR, message)

    async def close(self, listening: asyncio.Task[None]) -> None:
        listening.cancel()  # close() reads on by itself, to the client's answer
        await asyncio.wait([listening])
        await self._socket.close()


async def wait_for_room(socket: web.WebSocketResponse, budget: Budget) -> None:
    """Read on only when what came has found its reader."""
    while budget.full and not await budget.room(STALL_PONG_SECONDS):
        # kubectl's pings wait behind stdin nobody reads, and it gives up after a minute: any pong satisfies it (RFC 6455, 5.5.3).
        # It also makes a dead client show. What cannot be helped: a write of kubectl's that is stuck for a minute fails for good
        # (client-go's writeDeadline), here as with a kubelet; over SPDY there is no such limit.
        await socket.pong()


class _ResizeInbox(Inbox):
    """Takes what comes on the resize stream at once: there is nobody to wait for."""

    def __init__(self, budget: Budget, streams: RemoteStreams) -> None:
        super().__init__(budget)
        self._streams = streams

    def put(self, data: bytes) -> None:
        self._streams.feed_resize(data)


class SpdyPeer:
    """A client on a SPDY connection: a stream for each of stdin, stdout, stderr, resize, error, named by its ``streamtype`` header."""

    def __init__(self, link: Link, protocol: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> None:
        self._protocol = protocol
        self._session = SpdySession(link, self._accept)
        self._stdin = Inbox(self._session.budget)
        self.streams = RemoteStreams(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty, inbox=self._stdin, send=self._send)
        resize = tty and remotecommand.has_resize(protocol)
        wanted = {"error": True, "stdin": stdin, "stdout": stdout, "stderr": stderr, "resize": resize}
        self._wanted = {name for name, asked in wanted.items() if asked}
        self._opened: dict[str, SpdyStream] = {}
        self._all_open = asyncio.Event()

    def _accept(self, stream: SpdyStream) -> None:
        name = stream.headers.get("streamtype", "")
        if name not in self._wanted or name in self._opened:
            raise ProtocolError(f'unexpected stream type "{name}"')
        if name == "stdin":
            stream.inbox = self._stdin
        elif name == "resize":
            stream.inbox = _ResizeInbox(self._session.budget, self.streams)
        else:
            stream.inbox.discard()
        self._opened[name] = stream
        if self._wanted == self._opened.keys():
            self._all_open.set()

    async def _send(self, channel: Channel, data: bytes | memoryview) -> None:
        await self._opened[channel.name.lower()].write(data)

    async def listen(self) -> None:
        await self._session.run()

    async def ready(self) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._all_open.wait()
        except TimeoutError:
            missing = ", ".join(sorted(self._wanted - self._opened.keys()))
            raise errors.TimedOut(f"timed out waiting for client to create streams: {missing}") from None

    async def conclude(self, status: dict[str, Any]) -> None:
        self._stdin.discard()
        for name in ("stdout", "stderr"):
            if name in self._opened:
                await self._opened[name].finish()
        if error := self._opened.get("error"):
            await error.write(remotecommand.encode_status(self._protocol, status))
            await error.finish()

    async def close(self, listening: asyncio.Task[None]) -> None:
        # Hanging up first would make an old client drop what it has not yet handed on: it hangs up when it has read the outcome.
        await asyncio.wait([listening], timeout=FAREWELL_SECONDS if self._opened else 0)
        await self._session.close()

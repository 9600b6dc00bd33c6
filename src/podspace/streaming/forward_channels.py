"""Port-forward over a plain WebSocket, the Python client's way: the request names the ports, each has two channels, one connection each.

Channel 2n carries the n-th port's data, channel 2n+1 what goes wrong; each begins with its port's number. There is no sign for the end of
one channel: when the Pod has said all it wanted, the connection is over, and when all are, so is the WebSocket.
Used by ``upgrade``. Source: kubelet's pkg/kubelet/cri/streaming/portforward/websocket.go; kubernetes-client/python ws_client.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from aiohttp import WSMsgType, web

from podspace.streaming.channel import PIECE_BYTES, Budget, Inbox
from podspace.streaming.connection import Connect, Connection
from podspace.streaming.peers import STDIN_BUFFER_BYTES, wait_for_room
from podspace.wire import portforward, remotecommand
from podspace.wire.protocol import ProtocolError

CATCH_UP_SECONDS = 5.0


class _Channel:
    """One channel as a ``connection.Stream``."""

    def __init__(self, forwarder: ChannelForwarder, number: int) -> None:
        self.inbox = Inbox(forwarder.budget)
        self.gone = False
        self._forwarder = forwarder
        self._number = number

    async def write(self, data: bytes | memoryview) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            try:
                await self._forwarder.send(self._number, data[start : start + PIECE_BYTES])
            except ConnectionError as error:  # aiohttp has more than one kind
                self.gone = True
                raise ConnectionResetError("the client is gone") from error

    async def finish(self) -> None:
        """Nobody can be told; so the client is not waited for either."""
        self.inbox.end()


class ChannelForwarder:
    """All ports of one client on a prepared WebSocket, which shows its pings (``autoping`` off)."""

    def __init__(self, socket: web.WebSocketResponse, ports: Sequence[int], connect: Connect, describe: Callable[[int, str], str]) -> None:
        self.budget = Budget(STDIN_BUFFER_BYTES)
        self._socket = socket
        self._protocol = socket.ws_protocol or remotecommand.UNNAMED
        self._connect = connect
        self._describe = describe
        self._ports = ports
        self._pong = asyncio.Event()
        self._channels = [_Channel(self, number) for number in range(2 * len(ports))]

    async def run(self) -> None:
        """Serve until the client leaves or every connection is over."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                await asyncio.wait([group.create_task(self._forward(n, port)) for n, port in enumerate(self._ports)])
                await self._caught_up()
                raise _Over
        except* (_Over, ConnectionError):
            pass
        await self._socket.close()

    async def send(self, number: int, data: bytes | memoryview) -> None:
        message = remotecommand.encode(self._protocol, number, data)
        if remotecommand.is_base64(self._protocol):
            await self._socket.send_str(message.decode("ascii"))
        else:
            await self._socket.send_bytes(message)

    async def _forward(self, index: int, port: int) -> None:
        data, error = self._channels[2 * index : 2 * index + 2]
        for channel in (data, error):
            await channel.write(portforward.greeting(port))
        await Connection(data, error, port, self._describe).run(self._connect)

    async def _caught_up(self) -> None:
        """Wait until the client has read what it was sent: Python's throws away what it has not yet handed on when it sees the end."""
        await self._socket.ping()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self._pong.wait()

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
                continue
            if message.type is WSMsgType.PONG:
                self._pong.set()
                continue
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                raise _Over
            raw = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            try:
                number, data = remotecommand.decode(self._protocol, raw)
            except ProtocolError:
                raise _Over from None
            if number % 2 == 0 and number < len(self._channels):  # the client has nothing to say on the others
                self._channels[number].inbox.put(data)
            await wait_for_room(self._socket, self.budget)


class _Over(Exception):
    """The client is gone, or there is nothing left to do: ends the task group."""

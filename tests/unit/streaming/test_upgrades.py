"""The way from an HTTP request to streams and back, over real loopback connections: what is accepted, refused, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from podspace import errors
from podspace.streaming import peers, upgrade
from podspace.wire import remotecommand, spdy
from podspace.wire.streams import Streams

SUCCESS = {"metadata": {}, "status": "Success"}


@dataclass
class Server:
    """One handler on a loopback port. ``run`` is what exec runs, ``done`` is set when a session is over."""

    run: Callable[[Streams], Awaitable[int | None]]
    tty: bool = False
    stdout: bool = True
    url: str = ""
    port: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    refused: list[errors.PodspaceError] = field(default_factory=list)

    async def exec(self, request: web.Request) -> web.StreamResponse:
        try:
            return await upgrade.serve_remote_command(
                request, stdin=self.stdout, stdout=self.stdout, stderr=self.stdout, tty=self.tty, run=self.run
            )
        except errors.BadRequest as error:
            self.refused.append(error)
            return web.Response(status=400, text=str(error))
        finally:
            self.done.set()

    async def forward(self, request: web.Request) -> web.StreamResponse:
        async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            raise errors.Unavailable("connection refused")

        try:
            return await upgrade.serve_port_forward(request, connect=connect, pod="web_default", uid="u1")
        finally:
            self.done.set()


@contextlib.asynccontextmanager
async def serving(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    app.router.add_route("*", "/exec", server.exec)
    app.router.add_route("*", "/forward", server.forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        server.url = f"http://127.0.0.1:{server.port}"
        async with asyncio.timeout(5), aiohttp.ClientSession(server.url) as client:
            yield client
    finally:
        await runner.cleanup()


async def echo(streams: Streams) -> int:
    while data := await streams.read_stdin():
        await streams.write_stdout(data)
    return 0


async def nothing(streams: Streams) -> int:
    return 0


def drop(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Leave without a word."""
    connection = socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


def play(server: Server, client: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(server) as session:
            await client(session)
            await server.done.wait()

    asyncio.run(main())


def test_a_websocket_client_talks_and_gets_its_outcome() -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=["v5.channel.k8s.io"]) as socket:
            assert socket.protocol == "v5.channel.k8s.io"
            await socket.send_bytes(b"\x00hello")
            assert await socket.receive_bytes() == b"\x01hello"
            await socket.send_bytes(b"\xff\x00")
            status = await socket.receive_bytes()
            assert (status[0], json.loads(status[1:])) == (3, SUCCESS)
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1000

    play(Server(echo), client)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["v5.channel.k8s.io", "v4.channel.k8s.io"], "v5.channel.k8s.io"), (["x", "v4.channel.k8s.io"], "v4.channel.k8s.io"), ([], None)],
)
def test_the_first_offer_that_is_served_is_chosen(offered: list[str], chosen: str | None) -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=offered) as socket:
            assert socket.protocol == chosen
            if chosen != "v5.channel.k8s.io":
                assert await socket.receive_bytes() == b"\x01"  # "the session stands"
            status = await socket.receive()
            if chosen is None:
                assert status.type is WSMsgType.CLOSE  # before v4, success says nothing
            else:
                assert json.loads(status.data[1:]) == SUCCESS

    play(Server(nothing), client)


def test_a_browser_talks_base64() -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=["v4.base64.channel.k8s.io"]) as socket:
            assert await socket.receive_str() == "1"
            await socket.send_str("0" + base64.b64encode(b"hi").decode())
            assert await socket.receive_str() == "1aGk="

    play(Server(echo), client)


def test_a_terminal_session_hears_of_sizes() -> None:
    sizes: list[tuple[int, int]] = []

    async def run(streams: Streams) -> int:
        assert not streams.stderr
        sizes.append(await streams.next_resize())
        return 0

    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=["v5.channel.k8s.io"]) as socket:
            await socket.send_bytes(b'\x04{"Width":80,"Height":24}\n')
            assert (await socket.receive_bytes())[0] == 3

    play(Server(run, tty=True), client)
    assert sizes == [(80, 24)]


def test_sizes_nobody_waited_for_are_merged_into_the_last() -> None:
    async def run(streams: Streams) -> int:
        assert await streams.read_stdin() == b"go"
        return sum(await streams.next_resize())

    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=["v5.channel.k8s.io"]) as socket:
            for width in (1, 2, 3):
                await socket.send_bytes(b'\x04{"Width":%d,"Height":4}\n' % width)
            await socket.send_bytes(b"\x00go")
            assert b"exit status 7" in await socket.receive_bytes()

    play(Server(run, tty=True), client)


@pytest.mark.parametrize("message", ["", "0not base64!"])
def test_a_client_that_breaks_the_framing_is_gone(message: str) -> None:
    cancelled = asyncio.Event()

    async def run(streams: Streams) -> int:
        await streams.disconnected.wait()
        return 0

    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=["v4.base64.channel.k8s.io"]) as socket:
            assert await socket.receive_str() == "1"
            await socket.send_str(message)
            assert (await socket.receive()).type is WSMsgType.CLOSE
        cancelled.set()

    play(Server(run), client)
    assert cancelled.is_set()


@pytest.mark.parametrize("gentle", [True, False])
def test_a_websocket_client_that_leaves_cancels_the_command(gentle: bool) -> None:
    cancelled = asyncio.Event()

    async def run(streams: Streams) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            assert streams.disconnected.is_set()
            cancelled.set()
        return 0

    async def client(session: aiohttp.ClientSession) -> None:
        socket = await session.ws_connect("/exec", protocols=["v5.channel.k8s.io"])
        if gentle:
            await socket.close()
        else:
            drop(socket)
        await cancelled.wait()

    play(Server(run), client)


def test_a_stalled_stdin_still_sends_pongs_and_notices_a_dead_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "STALL_PONG_SECONDS", 0.001)

    async def run(streams: Streams) -> int:
        await asyncio.Event().wait()
        return 0

    async def client(session: aiohttp.ClientSession) -> None:
        socket = await session.ws_connect("/exec", protocols=["v5.channel.k8s.io"], autoping=False)
        await socket.send_bytes(bytes(peers.STDIN_BUFFER_BYTES + 1))
        assert (await socket.receive()).type is WSMsgType.PONG
        assert (await socket.receive()).type is WSMsgType.PONG
        drop(socket)

    play(Server(run), client)


def test_a_ping_is_answered() -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect("/exec", protocols=["v5.channel.k8s.io"], autoping=False) as socket:
            await socket.ping(b"are you there")
            pong = await socket.receive()
            assert (pong.type, bytes(pong.data)) == (WSMsgType.PONG, b"are you there")

    play(Server(echo), client)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "websocket"},
        {"Connection": "Upgrade"},
        {"Connection": "Upgrade", "Upgrade": "h2c"},
        {"Connection": "Upgrade", "Upgrade": "SPDY/2"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_asks_for_no_upgrade_we_know_is_told_so(method: str, headers: dict[str, str]) -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.request(method, "/exec", headers=headers) as response:
            assert (response.status, await response.text()) == (400, "Upgrade request required")

    play(Server(nothing), client)


UPGRADE_SPDY = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
UPGRADE_WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


@pytest.mark.parametrize(
    ("path", "headers", "status", "text"),
    [
        ("/exec", UPGRADE_SPDY, 400, "unable to upgrade: X-Stream-Protocol-Version is required"),
        (
            "/exec",
            {**UPGRADE_SPDY, "X-Stream-Protocol-Version": "bogus"},
            403,
            "unable to negotiate protocol: client supports [bogus], server",
        ),
        ("/forward", {**UPGRADE_SPDY, "X-Stream-Protocol-Version": "v4.channel.k8s.io"}, 403, "server accepts [portforward.k8s.io]"),
        ("/exec", {**UPGRADE_WEBSOCKET, "Sec-WebSocket-Protocol": "bogus.k8s.io"}, 403, "not supported: [bogus.k8s.io]; supports [v5"),
        (
            "/forward",
            {**UPGRADE_WEBSOCKET, "Sec-WebSocket-Protocol": "v5.channel.k8s.io"},
            403,
            "supports [SPDY/3.1+portforward.k8s.io v4.channel.k8s.io ",
        ),
        ("/exec", {**UPGRADE_WEBSOCKET, "Sec-WebSocket-Key": "short"}, 400, "WebSocket handshake failed"),
        ("/exec", {**UPGRADE_WEBSOCKET, "Sec-WebSocket-Version": "1"}, 400, "WebSocket handshake failed"),
    ],
)
def test_protocols_that_do_not_fit_are_named(path: str, headers: dict[str, str], status: int, text: str) -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.get(path, headers=headers) as response:
            assert response.status == status
            assert text in await response.text()

    play(Server(nothing), client)


def test_a_request_for_no_stream_at_all_is_refused() -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        async with session.get("/exec", headers=UPGRADE_WEBSOCKET) as response:
            assert (response.status, await response.text()) == (400, "you must specify at least 1 of stdin, stdout, stderr")

    play(Server(nothing, stdout=False), client)


def test_a_body_cannot_be_upgraded() -> None:
    async def client(session: aiohttp.ClientSession) -> None:
        headers = {**UPGRADE_SPDY, "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
        async with session.post("/exec", headers=headers, data=b"body") as response:
            assert response.status == 400

    play(Server(nothing), client)


REQUEST = (
    b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io, portforward.k8s.io\r\n\r\n"
)


async def raw_upgrade(server: Server, path: bytes) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST % path)
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


def test_a_spdy_client_gets_the_connection_itself() -> None:
    async def run(streams: Streams) -> int:
        await streams.write_stdout(b"hello")
        return 3

    server = Server(run)

    async def client(session: aiohttp.ClientSession) -> None:
        head, reader, writer = await raw_upgrade(server, b"exec")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nUpgrade: SPDY/3.1\r\n" in head
        assert b"\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in head
        encoder, decoder = spdy.Encoder(), spdy.Decoder()
        for number, name in enumerate(("error", "stdin", "stdout", "stderr")):
            writer.write(encoder.syn_stream(2 * number + 1, {"streamtype": name}))
        frames: list[spdy.Frame] = []
        while not any(isinstance(frame, spdy.Data) and frame.stream_id == 1 and frame.fin for frame in frames):
            frames += decoder.feed(await reader.read(4096))
        assert spdy.Data(stream_id=5, data=b"hello") in frames
        writer.write(encoder.goaway(0))
        assert decoder.feed(await reader.read()) == [spdy.GoAway(last_stream_id=7, status=0)]
        writer.close()

    play(server, client)


def test_a_forwarding_session_says_why_it_cannot_connect() -> None:
    server = Server(nothing)

    async def client(session: aiohttp.ClientSession) -> None:
        _, reader, writer = await raw_upgrade(server, b"forward")
        encoder, decoder = spdy.Encoder(), spdy.Decoder()
        for number, kind in ((1, "error"), (3, "data")):
            writer.write(encoder.syn_stream(number, {"streamtype": kind, "port": "80", "requestid": "0"}))
        text = b""
        while b"refused" not in text:
            text += b"".join(frame.data for frame in decoder.feed(await reader.read(4096)) if isinstance(frame, spdy.Data))
        assert text == b"error forwarding port 80 to pod web_default, uid u1: connection refused"
        writer.close()

    play(server, client)


def test_noise_instead_of_spdy_ends_the_connection() -> None:
    server = Server(nothing)

    async def client(session: aiohttp.ClientSession) -> None:
        _, reader, writer = await raw_upgrade(server, b"exec")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read()
        writer.close()

    play(server, client)


def test_a_server_that_stops_cancels_its_sessions() -> None:
    ended: list[bool] = []

    async def run(streams: Streams) -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return 0

    async def main() -> None:
        server = Server(run)
        async with serving(server) as session:
            socket = await session.ws_connect("/exec", protocols=["v5.channel.k8s.io"])
            _, _, writer = await raw_upgrade(server, b"exec")
            encoder = spdy.Encoder()
            await started.wait()
            started.clear()
            for number, name in enumerate(("error", "stdin", "stdout", "stderr")):
                writer.write(encoder.syn_stream(2 * number + 1, {"streamtype": name}))
            await started.wait()
        writer.close()
        await socket.close()

    started = asyncio.Event()
    asyncio.run(main())
    assert ended == [True, True]


def test_every_protocol_of_kubernetes_is_served() -> None:
    assert set(remotecommand.SPDY_PROTOCOLS) == {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}

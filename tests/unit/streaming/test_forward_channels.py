"""Port-forward as the Python client does it: byte for byte what goes over a plain WebSocket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from podspace import errors
from podspace.streaming import upgrade

CLOSED = 9


@contextlib.asynccontextmanager
async def pod() -> AsyncIterator[int]:
    """Answers each connection with what it gets, in capitals, and leaves after a full stop."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(100)) and not data.endswith(b"."):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[aiohttp.ClientSession]:
    async with pod() as port, asyncio.timeout(30):

        async def connect(wanted: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            if wanted == CLOSED:
                raise errors.Unavailable("connection refused")
            return await asyncio.open_connection("127.0.0.1", port)

        async def forward(request: web.Request) -> web.StreamResponse:
            try:
                return await upgrade.serve_port_forward(
                    request, connect=connect, ports=request.query.getall("ports", []), pod="web_default", uid="u1"
                )
            except errors.BadRequest as error:
                return web.Response(status=400, text=str(error))

        app = web.Application()
        app.router.add_get("/forward", forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
                yield client
        finally:
            await runner.cleanup()


async def greetings(socket: aiohttp.ClientWebSocketResponse, count: int) -> set[bytes]:
    return {await socket.receive_bytes() for _ in range(count)}


@pytest.mark.parametrize("query", ["ports=80&ports=8081", "ports=80,8081"])
@pytest.mark.parametrize("offered", [["v5.channel.k8s.io", "v4.channel.k8s.io"], ["v4.channel.k8s.io"], []])
def test_each_port_has_two_channels_that_begin_with_its_number(query: str, offered: list[str]) -> None:
    async def main() -> None:
        async with serving() as client, client.ws_connect(f"/forward?{query}", protocols=offered) as socket:
            assert await greetings(socket, 4) == {b"\0\x50\0", b"\1\x50\0", b"\2\x91\x1f", b"\3\x91\x1f"}
            await socket.send_bytes(b"\2two")
            assert await socket.receive_bytes() == b"\2TWO"
            await socket.send_bytes(b"\0one")
            assert await socket.receive_bytes() == b"\0ONE"
            await socket.send_bytes(b"\1nobody listens here")
            await socket.send_bytes(b"\x63nor here")
            await socket.send_bytes(b"\0.")
            await socket.send_bytes(b"\2still")
            assert await socket.receive_bytes() == b"\2STILL"
            await socket.send_bytes(b"\2.")
            assert (await socket.receive()).type is WSMsgType.CLOSE  # nothing is left

    asyncio.run(main())


def test_a_port_nobody_listens_on_is_told_on_its_error_channel_alone() -> None:
    async def main() -> None:
        async with serving() as client, client.ws_connect("/forward?ports=9,80", protocols=["v4.channel.k8s.io"]) as socket:
            said = await greetings(socket, 5)
            assert b"\1error forwarding port 9 to pod web_default, uid u1: connection refused" in said
            await socket.send_bytes(b"\2x")
            assert await socket.receive_bytes() == b"\2X"

    asyncio.run(main())


def test_base64_is_spoken_too() -> None:
    async def main() -> None:
        async with serving() as client, client.ws_connect("/forward?ports=80", protocols=["v4.base64.channel.k8s.io"]) as socket:
            assert {await socket.receive_str(), await socket.receive_str()} == {"0UAA=", "1UAA="}
            await socket.send_str("0" + base64.b64encode(b"hello").decode())
            assert await socket.receive_str() == "0" + base64.b64encode(b"HELLO").decode()

    asyncio.run(main())


def test_much_passes_and_a_client_that_leaves_ends_it() -> None:
    async def main() -> None:
        sent = bytes(range(97, 107)) * 100_000
        async with serving() as client, client.ws_connect("/forward?ports=80", protocols=["v4.channel.k8s.io"]) as socket:
            await greetings(socket, 2)

            async def send() -> None:
                for start in range(0, len(sent), 50_000):
                    await socket.send_bytes(b"\0" + sent[start : start + 50_000])

            sending = asyncio.ensure_future(send())
            got = b""
            while len(got) < len(sent):
                got += (await socket.receive_bytes())[1:]
            await sending
            assert got == sent.upper()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", 'query parameter "ports" is required'),
        ("?ports=", 'query parameter "ports" cannot be empty'),
        ("?ports=80,", 'query parameter "ports" cannot be empty'),
        ("?ports=x", 'unable to parse "x" as a port'),
        ("?ports=0", 'port "0" must be > 0'),
        ("?ports=" + ",".join(["80"] * 40), "40 ports are too many for one connection: 39 are the most"),
    ],
)
def test_ports_that_cannot_be_are_refused_before_the_upgrade(query: str, said: str) -> None:
    async def main() -> None:
        async with serving() as client:
            upgrading = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
            async with client.get(f"/forward{query}", headers=upgrading) as answer:
                assert (answer.status, await answer.text()) == (400, said)

    asyncio.run(main())


def test_the_end_waits_until_the_client_has_read_what_came_before() -> None:
    """Python's client throws away what it has not handed on when it sees the end."""

    async def main() -> None:
        async with serving() as client, client.ws_connect("/forward?ports=80", protocols=["v4.channel.k8s.io"], autoping=False) as socket:
            await greetings(socket, 2)
            await socket.ping(b"are you there")
            answer = await socket.receive()
            assert (answer.type, answer.data) == (WSMsgType.PONG, b"are you there")
            await socket.send_bytes(b"\0.")
            assert (await socket.receive()).type is WSMsgType.PING
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await socket.receive()
            await socket.pong()
            assert (await socket.receive()).type is WSMsgType.CLOSE

    asyncio.run(main())

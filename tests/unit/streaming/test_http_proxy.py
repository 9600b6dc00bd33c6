"""A request and its answer on their way through the proxy, between two real HTTP servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from podspace import errors
from podspace.streaming import http_proxy

PREFIX = "/api/v1/namespaces/n/pods/p/proxy"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def _listening(handler: Handler) -> AsyncIterator[int]:
    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        return await handler(request)

    def with_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.Request:
        return web.Request(message, payload, protocol, writer, task, asyncio.get_running_loop())

    runner = web.ServerRunner(web.Server(checked, request_factory=with_request), shutdown_timeout=0.1)
    await runner.setup()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        try:
            yield listener.getsockname()[1]
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def proxied(behind: Handler) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A client's session and the address of a proxy in front of ``behind``."""
    async with _listening(behind) as port:

        async def front(request: web.Request) -> web.StreamResponse:
            path = request.raw_path.partition("?")[0].removeprefix(PREFIX)
            place = http_proxy.Place(scheme="http", host="127.0.0.1", port=port, path=path, prefix=PREFIX)
            try:
                return await http_proxy.forward(request, place)
            except errors.Unavailable as error:
                return web.Response(status=503, text=str(error))

        async with _listening(front) as outer, aiohttp.ClientSession(auto_decompress=False) as session:
            yield session, f"http://127.0.0.1:{outer}{PREFIX}"


def played(scene: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scene

    asyncio.run(bounded())


def test_method_path_query_headers_and_body_pass_both_ways() -> None:
    async def behind(request: web.Request) -> web.StreamResponse:
        seen = {
            "method": request.method,
            "path": request.raw_path,
            "body": (await request.read()).decode(),
            "headers": dict(request.headers),
        }
        return web.json_response(
            seen, status=418, headers={"X-Own": "1", "Access-Control-Allow-Origin": "*", "Connection": "X-Hop", "X-Hop": "1"}
        )

    async def scene() -> None:
        async with proxied(behind) as (session, base):
            sent = {
                "Authorization": "Bearer secret",
                "X-Kept": "yes",
                "Connection": "X-Mine",
                "X-Mine": "hop",
                "Impersonate-Extra-Scopes": "all",
                "X-Forwarded-For": "192.0.2.9",
            }
            async with session.put(f"{base}/a/?q=1", data=b"text", headers=sent) as answer:
                seen = await answer.json()
                assert (answer.status, answer.headers["X-Own"]) == (418, "1")
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert "X-Hop" not in answer.headers
        assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/a/?q=1", "text")
        headers = seen["headers"]
        assert headers["X-Forwarded-Uri"] == f"{PREFIX}/a/"
        assert headers["X-Forwarded-For"] == "192.0.2.9, 127.0.0.1"
        assert headers["X-Kept"] == "yes"
        assert not {"Authorization", "X-Mine", "Impersonate-Extra-Scopes"} & set(headers)

    played(scene())


def test_links_and_redirects_lead_back_through_the_proxy() -> None:
    async def behind(request: web.Request) -> web.StreamResponse:
        if request.path == "/gzip":
            packed = gzip.compress(b'<a href="/x">')
            return web.Response(body=packed, headers={"Content-Encoding": "gzip"}, content_type="text/html")
        if request.path == "/page":
            return web.Response(text='<a href="/x">', content_type="text/html")
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def scene() -> None:
        async with proxied(behind) as (session, base):
            async with session.get(f"{base}/page") as answer:
                assert await answer.text() == f'<a href="{PREFIX}/x">'
            async with session.get(f"{base}/gzip") as answer:
                assert gzip.decompress(await answer.read()).decode() == f'<a href="{PREFIX}/x">'
            async with session.get(f"{base}/old", allow_redirects=False) as answer:
                assert answer.headers["Location"] == f"{PREFIX}/elsewhere"
            async with session.get(f"{base}?a=b", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (301, f"{PREFIX}/?a=b")

    played(scene())


def test_an_answer_is_passed_on_while_it_comes() -> None:
    async def behind(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await heard.wait()
        await response.write(b"second")
        return response

    async def scene() -> None:
        async with proxied(behind) as (session, base), session.get(f"{base}/") as answer:
            assert await answer.content.readany() == b"first"
            heard.set()
            assert await answer.content.read() == b"second"

    heard = asyncio.Event()
    played(scene())


def test_a_large_page_keeps_its_links() -> None:
    page = b'<a href="/x">' + b" " * http_proxy.PAGE_BYTES

    async def behind(request: web.Request) -> web.StreamResponse:
        return web.Response(body=page, content_type="text/html")

    async def scene() -> None:
        async with proxied(behind) as (session, base), session.get(f"{base}/") as answer:
            assert await answer.read() == page

    played(scene())


def test_a_websocket_passes_and_its_end() -> None:
    async def behind(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["chat"])
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.raw_path} {message.data}")
            if message.data == "bye":
                await socket.close(code=4001)
        return socket

    async def scene() -> None:
        async with proxied(behind) as (session, base), session.ws_connect(f"{base}/ws?room=1", protocols=["chat"]) as client:
            assert client.protocol == "chat"
            await client.send_str("hello")
            assert (await client.receive()).data == "/ws?room=1 hello"
            await client.send_str("bye")
            assert (await client.receive()).data == "/ws?room=1 bye"
            assert (await client.receive()).data == 4001

    played(scene())


def test_an_upgrade_that_is_refused_says_why() -> None:
    async def behind(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)  # chunked
        await response.write(b"not ")
        await response.write(b"you")
        return response

    async def scene() -> None:
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        async with proxied(behind) as (session, base), session.get(f"{base}/", headers=headers) as answer:
            assert (answer.status, await answer.text()) == (403, "not you")

    played(scene())


@pytest.mark.parametrize("headers", [{}, {"Connection": "Upgrade", "Upgrade": "websocket"}], ids=["plain", "upgrade"])
def test_nobody_listening_is_said_in_gos_words(headers: dict[str, str]) -> None:
    async def scene() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]

            async def front(request: web.Request) -> web.StreamResponse:
                place = http_proxy.Place(scheme="http", host="127.0.0.1", port=port, path="/", prefix=PREFIX)
                with pytest.raises(errors.Unavailable) as raised:
                    await http_proxy.forward(request, place)
                return web.Response(text=str(raised.value))

            async with (
                _listening(front) as outer,
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{outer}/", headers=headers) as answer,
            ):
                assert await answer.text() == f"error trying to reach service: dial tcp 127.0.0.1:{port}: connect: connection refused"

    played(scene())


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense",
        b"HTTP/1.1 abc Hm",
        b"HTTP/1.1 101 Ok\r\nno colon",
        b"HTTP/1.1 101 Ok\r\nX: a\nInjected: b",
        b"HTTP/1.1 101 Ok\r\nX y: a",
        b"\xff\xfe",
    ],
)
def test_a_head_that_is_none_is_an_error_of_the_pods(head: bytes) -> None:
    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(behind, "127.0.0.1", 0)
        async with server:
            place = http_proxy.Place(scheme="http", host="127.0.0.1", port=server.sockets[0].getsockname()[1], path="/", prefix=PREFIX)

            async def front(request: web.Request) -> web.StreamResponse:
                with pytest.raises(errors.Unavailable, match="error trying to reach service: malformed"):
                    await http_proxy.forward(request, place)
                return web.Response(text="refused")

            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
            async with (
                _listening(front) as outer,
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{outer}/", headers=upgrade) as answer,
            ):
                assert await answer.text() == "refused"

    played(scene())

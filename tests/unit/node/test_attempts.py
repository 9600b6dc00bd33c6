"""Single questions to servers on loopback: what is asked, and the words for what comes back."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from podspace import certificates, errors
from podspace.node import attempt_grpc, attempt_http, attempts, handlers
from podspace.node.handlers import Exec, HttpGet, TcpSocket
from podspace.node.probes import Answer
from podspace.node.recorder import Recorder
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerId, ExecResult
from tests.unit.node.builders import pod

Handler = Callable[[Any], Awaitable[web.StreamResponse]]


def target(engine: Any = None, **ports: int) -> attempts.Target:
    named = {"ports": [{"name": name, "containerPort": number} for name, number in ports.items()]}
    return attempts.Target(engine=cast(Engine, engine), container=ContainerId("c"), address="127.0.0.1", ports=named)


def http(port: int | str, path: str = "/", *, scheme: str = "HTTP", host: str = "", **headers: str) -> HttpGet:
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return HttpGet(host=host, port=port, path=path, scheme=scheme, headers=given)


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    assert site._server is not None
    try:
        yield cast(asyncio.Server, site._server).sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()


def ask(
    handler: Handler, *wanted: Callable[[int], HttpGet], tls: ssl.SSLContext | None = None, seconds: float = 30
) -> list[tuple[Answer, str]]:
    async def run() -> list[tuple[Answer, str]]:
        async with serving(handler, tls) as port:
            found = [await attempts.attempt(target(web=port), make(port), seconds) for make in wanted]
            return [(outcome.answer, outcome.text.replace(str(port), "PORT")) for outcome in found]

    return asyncio.run(run())


def test_what_is_asked_and_with_which_headers() -> None:
    seen: list[Any] = []

    async def note(request: web.Request) -> web.Response:
        seen.append((request.path_qs, request.host, dict(request.headers)))
        return web.Response(text="ok")

    [(answer, text), *_] = ask(
        note,
        lambda _: http("web", "health?x=1"),
        lambda port: http(port, Host="other", X_Own="v"),
        lambda port: http(port, User_Agent="", Accept=""),
    )
    assert (answer, text) == (Answer.SUCCESS, "ok")
    plain, own, bare = seen
    assert plain[0] == "/health?x=1"
    assert {name: plain[2].get(name) for name in ("User-Agent", "Accept", "Accept-Encoding", "Connection")} == {
        "User-Agent": "kube-probe/1.36",
        "Accept": "*/*",
        "Accept-Encoding": None,
        "Connection": "close",
    }
    assert own[1] == "other"
    assert own[2]["X-Own"] == "v"
    assert not {"User-Agent", "Accept"} & bare[2].keys()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, (Answer.SUCCESS, "body")),
        (399, (Answer.WARNING, "Probe terminated redirects, Response body: body")),
        (400, (Answer.FAILURE, "HTTP probe failed with statuscode: 400")),
        (503, (Answer.FAILURE, "HTTP probe failed with statuscode: 503")),
    ],
)
def test_which_answers_are_good(status: int, expected: tuple[Answer, str]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text="body")

    assert ask(answer, http) == [expected]


def test_redirects_are_followed_on_the_same_host_alone() -> None:
    async def redirect(request: web.Request) -> web.Response:
        if request.path == "/there":
            return web.Response(text="here")
        location = {"/": "/there", "/away": "http://127.0.0.2:1/", "/round": "/round"}[request.path]
        return web.Response(status=302, headers={"Location": location}, text="moved")

    found = ask(redirect, http, lambda port: http(port, "/away"), lambda port: http(port, "/round"))
    assert found == [
        (Answer.SUCCESS, "here"),
        (Answer.WARNING, "Probe terminated redirects, Response body: moved"),
        (Answer.FAILURE, 'Get "http://127.0.0.1:PORT/round": stopped after 10 redirects'),
    ]


def test_a_server_that_is_slow_or_hangs_up() -> None:
    async def slow(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(60)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    [(first, words), (second, _)] = ask(slow, lambda port: http(port, "/slow"), http, seconds=0.5)
    assert (first, second) == (Answer.FAILURE, Answer.FAILURE)
    assert words == 'Get "http://127.0.0.1:PORT/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'


def test_no_certificate_is_verified(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="secret")

    assert ask(answer, lambda port: http(port, scheme="HTTPS"), tls=_self_signed(tmp_path)) == [(Answer.SUCCESS, "secret")]


def test_https_is_not_spoken_by_everybody() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="plain")

    words = 'Get "https://127.0.0.1:PORT/": http: server gave HTTP response to HTTPS client'
    assert ask(answer, lambda port: http(port, scheme="HTTPS")) == [(Answer.FAILURE, words)]


def test_a_hook_falls_back_to_http_and_tells_so() -> None:
    told: list[str] = []
    recorder = cast(Recorder, SimpleNamespace(warning=lambda obj, reason, message: told.append(reason)))

    async def answer(request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        return web.Response(status=500)

    async def run() -> str:
        async with serving(answer) as port:
            wanted = http(port, scheme="HTTPS", Authorization="secret")
            return await attempt_http.hook(recorder, pod(), target(), wanted)

    assert asyncio.run(run()) == "", "any answer will do"
    assert told == ["LifecycleHTTPFallback"]


def _self_signed(folder: Path) -> ssl.SSLContext:
    made = certificates.ensure(folder, listen="192.0.2.1:1")  # an authority nobody knows, for another address
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    return context


def test_where_an_http_probe_goes() -> None:
    def url(wanted: HttpGet) -> str:
        return str(attempt_http.url_of(target(web=8080), wanted))

    assert url(http("web", "/x")) == "http://127.0.0.1:8080/x"
    assert url(http("9", host="elsewhere", scheme="HTTPS")) == "https://elsewhere:9/"
    with pytest.raises(errors.BadRequest, match='parsing "nosuch": invalid syntax'):
        url(http("nosuch"))
    with pytest.raises(errors.BadRequest, match="invalid port number: 70000"):
        handlers.port_number(70000, {})


def test_a_socket_is_open_or_not() -> None:
    async def run(port: int, host: str = "") -> tuple[Answer, str]:
        outcome = await attempts.attempt(target(), TcpSocket(host=host, port=port), 30)
        return outcome.answer, outcome.text

    with socket.create_server(("127.0.0.2", 0)) as listener:
        port = listener.getsockname()[1]
        assert asyncio.run(run(port, "127.0.0.2")) == (Answer.SUCCESS, "")
    with socket.socket() as unused:  # bound, so that nobody else gets it, and not listening
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert asyncio.run(run(port)) == (Answer.FAILURE, f"dial tcp 127.0.0.1:{port}: connect: connection refused")


class Commands:
    def __init__(self, outcome: ExecResult | Exception) -> None:
        self.outcome = outcome

    async def exec_sync(self, *_: Any, **__: Any) -> ExecResult:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ExecResult(exit_code=0, stdout=b"fine", stderr=b""), (Answer.SUCCESS, "fine")),
        (ExecResult(exit_code=7, stdout=b"out", stderr=b"err"), (Answer.FAILURE, "outerr")),
        (errors.TimedOut("x"), (Answer.FAILURE, 'command timed out: "a b" timed out after 2s')),
        (errors.Internal("no such file"), (Answer.UNKNOWN, "no such file")),
    ],
)
def test_commands(outcome: ExecResult | Exception, expected: tuple[Answer, str]) -> None:
    found = asyncio.run(attempts.attempt(target(Commands(outcome)), Exec(command=("a", "b")), 2))
    assert (found.answer, found.text) == expected


def test_the_two_messages_of_grpc_health() -> None:
    assert attempt_grpc.request("") == b""
    assert attempt_grpc.request("x" * 200) == b"\x0a\xc8\x01" + b"x" * 200
    assert [attempt_grpc.status_of(message) for message in (b"", b"\x08\x01", b"\x08\x02")] == [0, 1, 2]


def test_nobody_is_asked_what_a_kubelet_would_not_ask() -> None:
    found = asyncio.run(attempts.attempt(target(SimpleNamespace()), handlers.Sleep(seconds=1), 1))
    assert found.answer is Answer.UNKNOWN

"""Exec, Attach and PortForward: the RPC answers with a URL, and whoever opens it within a minute, once, gets the session.

An HTTP server on loopback, on a port the kernel chooses; a kubelet on this machine passes its clients on to it. SPDY/3.1 and WebSocket are
those of ``streaming``. Source: cri-api api.proto; kubelet's pkg/kubelet/cri/streaming.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.aio.sessions import Sessions
from podspace.cri.owned import Owned
from podspace.runtime import model
from podspace.streaming import upgrade
from podspace.wire.streams import Streams

TOKEN_SECONDS = 60.0
MOST_TOKENS = 1000
_HOST = "127.0.0.1"
_CLEANUP_SECONDS = 10.0  # for the processes of execs to be killed

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A session that may be opened until ``expires`` (the loop's clock)."""

    serve: Serve
    expires: float


class Streaming:
    """The three RPCs and the server behind their URLs."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._base = ""
        self._sessions = Sessions()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen. At the end sessions are broken off: their clients see the connection close."""
        application = web.Application()
        application.router.add_route("*", "/{kind:exec|attach|portforward}/{token}", self._open)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, _HOST, 0)
            await site.start()
            self._base = f"http://{_HOST}:{runner.addresses[0][1]}"
            yield
        finally:
            await self._sessions.end(_CLEANUP_SECONDS)
            await runner.cleanup()

    async def exec(self, request: pb.ExecRequest) -> pb.ExecResponse:
        container = self._running(request.container_id)
        if not request.cmd:
            raise errors.BadRequest("cmd is empty")
        check_streams(tty=request.tty, stdin=request.stdin, stdout=request.stdout, stderr=request.stderr)
        argv = list(request.cmd)

        async def run(streams: Streams) -> int:
            return await self._owned.engine.exec(container.id, argv, streams)

        async def serve(http: web.Request) -> web.StreamResponse:
            return await upgrade.serve_remote_command(
                http, stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, tty=request.tty, run=run
            )

        return pb.ExecResponse(url=self._ticket("exec", serve))

    async def attach(self, request: pb.AttachRequest) -> pb.AttachResponse:
        container = self._running(request.container_id)
        check_streams(tty=request.tty, stdin=request.stdin, stdout=request.stdout, stderr=request.stderr)

        async def run(streams: Streams) -> None:
            await self._owned.engine.attach(container.id, streams)

        async def serve(http: web.Request) -> web.StreamResponse:
            return await upgrade.serve_remote_command(
                http,
                stdin=request.stdin,
                stdout=request.stdout,
                stderr=request.stderr,
                tty=request.tty,
                run=run,
                doing="error attaching to container",
            )

        return pb.AttachResponse(url=self._ticket("attach", serve))

    async def port_forward(self, request: pb.PortForwardRequest) -> pb.PortForwardResponse:
        sandbox = self._owned.sandbox(request.pod_sandbox_id)
        if sandbox.state is not model.SandboxState.READY:
            raise errors.FailedPrecondition(f"sandbox {sandbox.id} is not ready")

        async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await self._owned.engine.port_forward(sandbox.id, port)

        async def serve(http: web.Request) -> web.StreamResponse:
            return await upgrade.serve_port_forward(
                http,
                connect=connect,
                ports=[str(port) for port in request.port],
                pod=f"{sandbox.config.name}_{sandbox.config.namespace}",
                uid=sandbox.config.uid,
            )

        return pb.PortForwardResponse(url=self._ticket("portforward", serve))

    def _running(self, identifier: str) -> model.ContainerStatus:
        container = self._owned.container(identifier)
        if container.state is not model.ContainerState.RUNNING:
            raise errors.FailedPrecondition(f"container {container.config.name} ({container.id}) is not running: {container.state}")
        return container

    def _ticket(self, kind: str, serve: Serve) -> str:
        """Raises: Unavailable when too many wait to be opened."""
        now = asyncio.get_running_loop().time()
        while self._tickets and next(iter(self._tickets.values())).expires <= now:
            self._tickets.popitem(last=False)
        if len(self._tickets) >= MOST_TOKENS:
            raise errors.Unavailable(f"{MOST_TOKENS} streaming sessions were asked for and not opened; try again in a minute")
        token = secrets.token_urlsafe(16)
        self._tickets[token] = Ticket(serve=serve, expires=now + TOKEN_SECONDS)
        return f"{self._base}/{kind}/{token}"

    async def _open(self, request: web.Request) -> web.StreamResponse:
        ticket = self._tickets.pop(request.match_info["token"], None)
        if ticket is None or ticket.expires <= asyncio.get_running_loop().time():
            return web.Response(status=404, text="no such session, or it was opened already, or it is too late")
        try:
            with self._sessions.held():
                return await ticket.serve(request)
        except errors.BadRequest as error:
            return web.Response(status=400, text=str(error))


def check_streams(*, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> None:
    """Source: the comments of ExecRequest and AttachRequest in api.proto. Raises: BadRequest."""
    if tty and stderr:
        raise errors.BadRequest("tty and stderr cannot both be true")
    if not (stdin or stdout or stderr):
        raise errors.BadRequest("one of stdin, stdout, or stderr must be set")

"""The API server: its listeners (HTTPS with client certificates, a unix socket for the machine's own CLI) and its life.

``daemon`` makes one and runs it in its TaskGroup. What is served is in ``dispatch``; here are sockets, TLS and the end.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from asyncio import sslproto
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from podspace import errors
from podspace.api import call, namespaces
from podspace.api.backend import Backend
from podspace.api.dispatch import Dispatcher
from podspace.api.lens import Lens
from podspace.api.metrics import Meter, Sampler
from podspace.api.quota_keeper import QuotaKeeper
from podspace.api.snapshots import Snapshots
from podspace.api.streams import OpenStreams
from podspace.store.store import Store
from podspace.tokens import Signer

_LINE_BYTES = 256 * 1024  # a URL carries the whole command of an exec
_HEADER_BYTES = 32 * 1024
_HELLO_SECONDS = 32.0  # for a client to have said what it wants, as Go's API server has it; the TLS handshake has 60 before
_TLS_BUFFER_BYTES = 64 * 1024  # asyncio keeps 256 KiB for each connection, of whoever comes along
_CLEANUP_SECONDS = 10.0  # for the processes of execs to be killed
_GOODBYE_SECONDS = 1.0  # for requests in hand when the server stops; watches are ended at once


class ApiServer:
    """Serves a store. ``run`` it; ``address`` tells where once it is ready."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        *,
        host: str = "127.0.0.1",
        port: int = 6443,
        tls: ssl.SSLContext | None = None,
        ca_certificate: str = "",
        unix_socket: Path | None = None,
        now: Callable[[], float] = time.time,
        lens: Lens | None = None,
        meter: Meter | None = None,
        tokens: Signer | None = None,
    ) -> None:
        """``port`` 0 = any free one. ``tls`` None = no TCP listener, ``unix_socket`` None = no local one, ``tokens`` None = no tokens.

        The context asks for a client certificate (CERT_OPTIONAL): who comes without is told so in HTTP. ``ca_certificate`` (PEM) is
        what every namespace gets as ``kube-root-ca.crt``.
        """
        self._host, self._port = host, port
        self._tls = tls
        self._ca_certificate = ca_certificate
        self._unix_socket = unix_socket
        self.services = call.Services(
            store=store,
            backend=backend,
            now=now,
            streams=OpenStreams(),
            snapshots=Snapshots(),
            quotas=QuotaKeeper(store),
            lens=lens,
            sampler=Sampler(meter) if meter else None,
            tokens=tokens,
        )
        self.address: tuple[str, int] | None = None

    async def run(self, ready: asyncio.Event) -> None:
        """Listen until cancelled; then end watches and sessions, give requests in hand a second, and close.

        Raises: errors.FailedPrecondition if the address cannot be had; OSError.
        """
        await namespaces.bootstrap(self.services, self._ca_certificate)
        runner = web.ServerRunner(_server(Dispatcher(self.services)), shutdown_timeout=_GOODBYE_SECONDS)
        await runner.setup()
        try:
            await self._listen(runner)
            async with asyncio.TaskGroup() as controllers:
                controllers.create_task(self.services.quotas.run())
                ready.set()
                await namespaces.Controller(self.services, self._ca_certificate).run()
        finally:
            self.services.streams.close_all()
            await self.services.sessions.end(_CLEANUP_SECONDS)
            await runner.cleanup()
            if self._unix_socket:
                self._unix_socket.unlink(missing_ok=True)

    async def _listen(self, runner: web.ServerRunner) -> None:
        if self._tls:
            sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
            listener = _public_socket(self._host, self._port)
            self.address = listener.getsockname()[:2]
            await web.SockSite(runner, listener, ssl_context=self._tls).start()
        if self._unix_socket:
            await web.SockSite(runner, _private_socket(self._unix_socket)).start()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _public_socket(host: str, port: int) -> socket.socket:
    """Raises: errors.FailedPrecondition in words for whoever chose the address."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=1024)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]  # the socket module's own addition
        raise errors.FailedPrecondition(f"cannot listen on {host}:{port}: {reason}; choose another address with --listen") from error


def _private_socket(path: Path) -> socket.socket:
    """A listening unix socket that nobody but its owner can open, from its first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # sun_path holds 107 bytes; --root may be longer
    finally:
        os.umask(mask)
        os.close(folder)
    listener.listen(128)
    return listener


class _Server(web.Server):
    """Drops connections on which nobody says anything: they cost memory and descriptors, and anybody may make them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, request_factory=self._request, **options)
        self._silent: dict[RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = asyncio.get_running_loop().call_later(_HELLO_SECONDS, transport.abort)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._heard(handler)
        super().connection_lost(handler, exc)

    def _heard(self, handler: RequestHandler) -> None:
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.Request:
        self._heard(protocol)
        return web.Request(message, payload, protocol, writer, task, asyncio.get_running_loop())


def _server(dispatcher: Dispatcher) -> web.Server:
    """aiohttp's low-level server: no router, no middlewares, no access log. A client that goes cancels its handler: a watch must end."""
    return _Server(
        dispatcher,
        handler_cancellation=True,
        access_log=None,
        max_line_size=_LINE_BYTES,
        max_field_size=_HEADER_BYTES,
    )

"""The smallest API server that real kubectl can exec into, attach to and port-forward through: one Pod, and its processes are ours.

Used by the tests beside it. ``run`` functions start a local program where podspace would start one in a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from podspace import errors
from podspace.streaming import upgrade
from podspace.wire.streams import Streams, TerminalSize

POD: dict[str, Any] = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "1"},
    "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "x", "stdin": True, "tty": True}]},
    "status": {"phase": "Running", "containerStatuses": [{"name": "main", "ready": True, "state": {"running": {}}}]},
}
RESOURCES: dict[str, Any] = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"], "shortNames": ["po"]}],
}


@dataclass(slots=True, kw_only=True)
class Seen:
    """What happened, for the tests to look at."""

    protocols: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    running: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)


async def run_program(argv: list[str], streams: Streams, seen: Seen) -> int:
    """Run a program with the client's streams, on a terminal if asked for."""
    seen.running += 1
    seen.started.set()
    try:
        return await (_on_terminal(argv, streams, seen) if streams.tty else _on_pipes(argv, streams))
    except asyncio.CancelledError:
        assert streams.disconnected.is_set()
        seen.cancelled.set()
        raise
    finally:
        seen.running -= 1


async def _on_pipes(argv: list[str], streams: Streams) -> int:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=pipe if streams.stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, limit=256 * 1024
    )
    try:
        async with asyncio.TaskGroup() as group:
            feeder = group.create_task(_feed(streams, process.stdin)) if process.stdin else None
            assert process.stdout is not None
            assert process.stderr is not None
            outputs = [
                group.create_task(_drain(process.stdout, streams.write_stdout)),
                group.create_task(_drain(process.stderr, streams.write_stderr)),
            ]
            await asyncio.wait(outputs)
            code = await process.wait()
            if feeder:
                feeder.cancel()
        return code
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(_ended(process))


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Read what nobody wants any more: only at their end do asyncio's pipes close."""
    for reader in (process.stdout, process.stderr):
        while reader is not None and await reader.read(64 * 1024):
            pass
    await process.wait()


async def _feed(streams: Streams, stdin: asyncio.StreamWriter) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while data := await streams.read_stdin():
            stdin.write(data)
            await stdin.drain()
        stdin.close()


async def _drain(reader: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await reader.read(64 * 1024):
        await write(data)


async def _on_terminal(argv: list[str], streams: Streams, seen: Seen) -> int:
    main, worker = pty.openpty()

    def apply(size: TerminalSize) -> None:
        seen.sizes.append((size.width, size.height))
        fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", size.height, size.width, 0, 0))

    apply(await streams.next_resize())  # every kubectl sends one at once
    process = await asyncio.create_subprocess_exec(*argv, stdin=worker, stdout=worker, stderr=worker, start_new_session=True)
    os.close(worker)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(main), "rb", 0))

    async def resize() -> None:
        while True:
            apply(await streams.next_resize())

    async def type_in() -> None:
        while data := await streams.read_stdin():
            os.write(main, data)

    try:
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(resize()), group.create_task(type_in())]
            with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
                await _drain(reader, streams.write_stdout)
            code = await process.wait()
            for helper in helpers:
                helper.cancel()
        return code
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
        transport.close()
        os.close(main)


def application(seen: Seen) -> web.Application:
    async def pod(request: web.Request) -> web.Response:
        return web.json_response(POD)

    async def command(request: web.Request) -> web.StreamResponse:
        query = request.query
        argv = query.getall("command", ["cat"])

        async def run(streams: Streams) -> int | None:
            if argv == ["missing"]:
                raise errors.ToolError(["crun", "exec"], 1, "executable file `missing` not found in $PATH")
            code = await run_program(argv, streams, seen)
            return None if request.path.endswith("/attach") else code

        def asked(name: str) -> bool:
            return query.get(name) == "true"

        response = await upgrade.serve_remote_command(
            request, stdin=asked("stdin"), stdout=asked("stdout"), stderr=asked("stderr"), tty=asked("tty"), run=run
        )
        note(request, response)
        return response

    async def forward(request: web.Request) -> web.StreamResponse:
        async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port)

        response = await upgrade.serve_port_forward(request, connect=connect, pod="web_default", uid="u1")
        note(request, response)
        return response

    def note(request: web.Request, response: web.StreamResponse) -> None:
        kind = "websocket" if isinstance(response, web.WebSocketResponse) else "spdy"
        name = response.headers.get("Sec-WebSocket-Protocol") or response.headers.get("X-Stream-Protocol-Version", "")
        seen.protocols.append(f"{kind} {name}")

    async def discover(request: web.Request) -> web.Response:
        if request.path == "/api":
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})

    async def resources(request: web.Request) -> web.Response:
        return web.json_response(RESOURCES)

    app = web.Application(middlewares=[_as_status])
    app.router.add_get("/api", discover)
    app.router.add_get("/apis", discover)
    app.router.add_get("/api/v1", resources)
    base = "/api/v1/namespaces/default/pods/web"
    app.router.add_get(base, pod)
    for subresource, handler in (("exec", command), ("attach", command), ("portforward", forward)):
        for method in ("GET", "POST"):
            app.router.add_route(method, f"{base}/{subresource}", handler)
    return app


@web.middleware
async def _as_status(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    try:
        return await handler(request)
    except errors.BadRequest as error:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(error), "reason": "BadRequest", "code": 400}
        return web.json_response(body, status=400)


@contextlib.asynccontextmanager
async def serving(seen: Seen, certificate: Path | None = None) -> AsyncIterator[str]:
    """Serve on a free loopback port; yield the URL. ``certificate``: a PEM file with key and certificate, for HTTPS."""
    context = None
    if certificate is not None:
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    runner = web.AppRunner(application(seen), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()

"""Real kubectl, old and new, forwards ports through our side of the protocols."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.conformance.streaming import app, clients

pytestmark = pytest.mark.root

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["websocket", "spdy", "1.20"])
def client(request: pytest.FixtureRequest) -> clients.Client:
    return clients.find(request.param)


@contextlib.asynccontextmanager
async def forwarding(client: clients.Client, url: str, remote: int, home: Path) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Run ``kubectl port-forward``; yield the local port and the process."""
    process = await clients.start(client, url, "port-forward", "--address=127.0.0.1", "pod/web", f":{remote}", home=home)
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        yield int(line.split(b"127.0.0.1:")[1].split()[0]), process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def backend(serve: Serve) -> AsyncIterator[int]:
    """A TCP server in place of the Pod's; yield its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(64 * 1024):
        writer.write(data)
        await writer.drain()


async def exchange(port: int, payload: bytes) -> bytes:
    """Send everything, close our half, and return what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for start in range(0, len(payload), 64 * 1024):
            writer.write(payload[start : start + 64 * 1024])
            await writer.drain()
        writer.write_eof()

    digest = hashlib.sha256()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            while data := await reader.read(64 * 1024):
                digest.update(data)
    finally:
        writer.close()
    return digest.digest()


def test_twenty_connections_at_once_carry_10_megabytes_each_way(client: clients.Client, tmp_path: Path) -> None:
    async def main() -> None:
        seen = app.Seen()
        source = random.Random(2)
        payloads = [source.randbytes(1024) * 10240 for _ in range(20)]
        async with (
            asyncio.timeout(300),
            app.serving(seen) as url,
            backend(echo) as remote,
            forwarding(client, url, remote, tmp_path) as (port, _),
        ):
            digests = await asyncio.gather(*(exchange(port, payload) for payload in payloads))
        assert digests == [hashlib.sha256(payload).digest() for payload in payloads]
        assert seen.protocols == ["websocket SPDY/3.1+portforward.k8s.io" if client.websocket else "spdy portforward.k8s.io"]

    asyncio.run(main())


def test_a_half_close_reaches_the_pod_and_its_answer_comes_back(client: clients.Client, tmp_path: Path) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read(-1)
        writer.write(b"%d bytes" % len(request))
        await writer.drain()

    async def main() -> None:
        async with (
            asyncio.timeout(60),
            app.serving(app.Seen()) as url,
            backend(answer_at_the_end) as remote,
            forwarding(client, url, remote, tmp_path) as (port, _),
        ):
            assert await exchange(port, b"x" * 1000) == hashlib.sha256(b"1000 bytes").digest()

    asyncio.run(main())


def test_a_refused_connection_is_explained_and_the_others_live_on(client: clients.Client, tmp_path: Path) -> None:
    async def main(dead: int) -> None:
        async with asyncio.timeout(60), app.serving(app.Seen()) as url, forwarding(client, url, dead, tmp_path) as (port, process):
            assert await exchange_or_reset(port) == b""
            assert process.stderr is not None
            message = await process.stderr.readuntil(b"uid u1: ")
            assert b"error forwarding port %d to pod web_default" % dead in message
            if client.name == "1.20":
                assert await exchange_or_reset(port) == b""  # still listening

    with socket.socket() as unused:  # bound so that nobody else gets it, and not listening
        unused.bind(("127.0.0.1", 0))
        asyncio.run(main(unused.getsockname()[1]))


async def exchange_or_reset(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"x")
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_a_client_that_goes_takes_its_connections_along(client: clients.Client, tmp_path: Path) -> None:
    async def main() -> None:
        reached, closed = asyncio.Event(), asyncio.Event()

        async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.set()
            try:
                await reader.read(-1)
            finally:
                closed.set()

        async with (
            asyncio.timeout(60),
            app.serving(app.Seen()) as url,
            backend(wait_for_end) as remote,
            forwarding(client, url, remote, tmp_path) as (port, process),
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            await writer.drain()
            await reached.wait()
            process.kill()
            await closed.wait()
            writer.close()

    asyncio.run(main())

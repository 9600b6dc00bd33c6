"""Real kubectl, old and new, runs commands through our side of the protocols."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import pty
import random
import signal
import struct
import subprocess
import termios
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.streaming import app, clients

pytestmark = pytest.mark.root

MEGABYTE = 1024 * 1024


@pytest.fixture(params=["websocket", "spdy", "1.20"])
def client(request: pytest.FixtureRequest) -> clients.Client:
    return clients.find(request.param)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [*command, "-subj", "/CN=test", "-keyout", "key.pem", "-out", "cert.pem"], cwd=path.parent, check=True, capture_output=True
    )
    path.write_text((path.parent / "key.pem").read_text() + (path.parent / "cert.pem").read_text())
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("noise") / "noise"
    source = random.Random(1)
    with path.open("wb") as file:
        for _ in range(100):
            file.write(source.randbytes(MEGABYTE))
    yield path
    path.unlink()


Talk = Callable[[str, app.Seen], Awaitable[None]]


def serve(talk: Talk, certificate: Path | None = None) -> app.Seen:
    """Run ``talk`` against a server of its own; nothing may be left running."""

    async def main() -> app.Seen:
        seen = app.Seen()
        async with asyncio.timeout(60), app.serving(seen, certificate) as url:
            await talk(url, seen)
        assert not seen.running
        return seen

    return asyncio.run(main())


def test_output_errors_and_exit_code_arrive(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        process = await clients.start(client, url, "exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3", home=tmp_path)
        code, out, err = await clients.finish(process)
        assert (code, out) == (3, b"out\n")
        assert err == b"err\ncommand terminated with exit code 3\n"

    seen = serve(talk)
    assert seen.protocols == ["websocket v5.channel.k8s.io" if client.websocket else "spdy v4.channel.k8s.io"]


def test_a_command_that_cannot_run_is_explained(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        code, out, err = await clients.finish(await clients.start(client, url, "exec", "web", "--", "missing", home=tmp_path))
        assert (code, out) == (1, b"")
        assert err.startswith(b"error: Internal error occurred: error executing command in container: crun failed: executable file")

    serve(talk)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_100_megabytes_go_through_cat_unharmed(
    client: clients.Client, secure: bool, noise: Path, certificate: Path, tmp_path: Path
) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        with noise.open("rb") as source, (tmp_path / "copy").open("wb") as target:
            process = await clients.start(
                client, url, "exec", "-i", "web", "--", "cat", home=tmp_path, stdin=source.fileno(), stdout=target.fileno()
            )
            code, _, err = await clients.finish(process)
        assert (code, err) == (0, b"")

    serve(talk, certificate if secure else None)
    copy = tmp_path / "copy"
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(noise.read_bytes()).digest()
    copy.unlink()


def test_a_command_that_leaves_its_stdin_unread_still_ends(client: clients.Client, noise: Path, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        with noise.open("rb") as source:
            process = await clients.start(
                client, url, "exec", "-i", "web", "--", "sh", "-c", "head -c 5; exit 7", home=tmp_path, stdin=source.fileno()
            )
            code, out, _ = await clients.finish(process)
        assert (code, len(out)) == (7, 5)

    serve(talk)


def test_a_slow_reader_gets_everything_and_costs_no_memory(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        before = _resident_bytes()
        process = await clients.start(client, url, "exec", "web", "--", "head", "-c", str(200 * MEGABYTE), "/dev/zero", home=tmp_path)
        assert process.stdout is not None
        await process.stdout.readexactly(1)
        await asyncio.sleep(0.5)  # everything that could fill up has
        assert _resident_bytes() - before < 16 * MEGABYTE
        total = 1
        while data := await process.stdout.read(MEGABYTE):
            total += len(data)
        assert total == 200 * MEGABYTE
        assert await process.wait() == 0

    serve(talk)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_sessions_at_the_same_time_do_not_mix(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        first = await clients.start(client, url, "exec", "-i", "web", "--", "cat", home=tmp_path, stdin=asyncio.subprocess.PIPE)
        await seen.started.wait()
        second = await clients.start(client, url, "exec", "web", "--", "echo", "second", home=tmp_path)
        assert await clients.finish(second) == (0, b"second\n", b"")
        assert await first.communicate(b"first\n") == (b"first\n", b"")

    serve(talk)


def test_a_killed_client_cancels_the_command(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        process = await clients.start(client, url, "exec", "-i", "web", "--", "sleep", "1000", home=tmp_path, stdin=asyncio.subprocess.PIPE)
        await seen.started.wait()
        process.kill()
        await clients.finish(process)
        await seen.cancelled.wait()

    serve(talk)


def test_attach_ends_well_when_the_process_does(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        process = await clients.start(client, url, "attach", "-i", "web", home=tmp_path, stdin=asyncio.subprocess.PIPE)
        out, _ = await process.communicate(b"hello\n")
        assert (process.returncode, out) == (0, b"hello\n")

    serve(talk)


def test_a_terminal_has_the_clients_size_and_follows_it(client: clients.Client, tmp_path: Path) -> None:
    async def talk(url: str, seen: app.Seen) -> None:
        main, worker = pty.openpty()
        _set_size(main, 100, 30)
        script = "trap 'stty size; exit 5' WINCH; stty size; read line; echo got:$line; while :; do sleep 0.05; done"
        process = await clients.start(
            client, url, "exec", "-it", "web", "--", "bash", "-c", script, home=tmp_path, stdin=worker, stdout=worker, stderr=worker
        )
        try:
            await _expect(main, b"30 100")
            os.write(main, b"typed\r")
            await _expect(main, b"got:typed")
            _set_size(main, 120, 40)
            process.send_signal(signal.SIGWINCH)
            await _expect(main, b"40 120")
            assert await process.wait() == 5
        finally:
            os.close(worker)
            os.close(main)
        assert seen.sizes[-1] == (120, 40)

    serve(talk)


def _set_size(terminal: int, width: int, height: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


async def _expect(terminal: int, wanted: bytes) -> None:
    """Read from a terminal until ``wanted`` comes by."""
    loop = asyncio.get_running_loop()
    seen = b""
    os.set_blocking(terminal, False)
    while wanted not in seen:
        readable = asyncio.Event()
        loop.add_reader(terminal, readable.set)
        await readable.wait()
        loop.remove_reader(terminal)
        seen += os.read(terminal, 4096)

"""Exec and port-forward over a SPDY connection that is two queues: recorded kubectl sessions, back-pressure, and bad clients."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from podspace import errors
from podspace.streaming import channel, command, peers
from podspace.streaming import spdy as spdy_session
from podspace.streaming.forward import Forwarder
from podspace.wire import spdy
from podspace.wire.streams import Streams, TerminalSize

RECORDINGS = Path(__file__).parents[2] / "data" / "streaming"


class Wire:
    """The server's link, with the test as the client at its other end."""

    def __init__(self) -> None:
        self._encoder = spdy.Encoder()
        self._decoder = spdy.Decoder()
        self._to_server: asyncio.Queue[bytes] = asyncio.Queue()
        self._to_client: asyncio.Queue[bytes] = asyncio.Queue()
        self._received: list[spdy.Frame] = []
        self.reads = 0
        self.closed = asyncio.Event()

    async def read(self) -> bytes:
        self.reads += 1
        return await self._to_server.get()

    async def write(self, data: bytes) -> None:
        self._to_client.put_nowait(data)

    async def close(self) -> None:
        self.closed.set()

    def open(self, stream_id: int, **headers: str) -> None:
        self.send(self._encoder.syn_stream(stream_id, headers))

    def send(self, data: bytes) -> None:
        self._to_server.put_nowait(data)

    def hang_up(self) -> None:
        self.send(b"")

    async def receive(self) -> spdy.Frame:
        while not self._received:
            self._received = self._decoder.feed(await self._to_client.get())
        return self._received.pop(0)

    async def expect(self, *frames: spdy.Frame) -> None:
        assert [await self.receive() for _ in frames] == list(frames)

    async def text(self, stream_id: int) -> bytes:
        """Return what comes on one stream up to its end, skipping everything else."""
        text = b""
        while True:
            frame = await self.receive()
            if isinstance(frame, spdy.Data) and frame.stream_id == stream_id:
                text += frame.data
                if frame.fin:
                    return text


def command_session(
    run: Callable[[Streams], Awaitable[int | None]],
    client: Callable[[Wire], Awaitable[None]],
    *,
    stdin: bool = False,
    stdout: bool = True,
    stderr: bool = True,
    tty: bool = False,
    protocol: str = "v4.channel.k8s.io",
) -> None:
    """Play one session; it must be over when the client has left."""

    async def main() -> None:
        wire = Wire()
        peer = peers.SpdyPeer(wire, protocol, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(command.converse(peer, run, "doing it"))
            await client(wire)
            wire.hang_up()
            await wire.closed.wait()

    asyncio.run(main())


def recording(name: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = json.loads((RECORDINGS / f"{name}.json").read_text())
    return frames


def play(wire: Wire, frame: dict[str, Any]) -> None:
    match frame["frame"]:
        case "SYN_STREAM":
            wire.open(frame["stream"], **frame["headers"])
        case "DATA":
            wire.send(spdy.Encoder.data(frame["stream"], frame["data"].encode(), fin=bool(frame["fin"])))
        case "RST_STREAM":
            wire.send(spdy.Encoder.reset(frame["stream"], spdy.ResetStatus(frame["value"])))
        case "GOAWAY":
            wire.send(spdy.Encoder.goaway(0))


async def compare(wire: Wire, frame: dict[str, Any]) -> None:
    answer = await wire.receive()
    if frame["frame"] == "SYN_REPLY":
        assert answer == spdy.SynReply(stream_id=frame["stream"])
        return
    assert isinstance(answer, spdy.Data)
    text = answer.data
    if frame["fin"] and not answer.fin:  # the double that was recorded put the end on the last bytes, we send it by itself
        assert await wire.receive() == spdy.Data(stream_id=frame["stream"], fin=True)
    assert answer.stream_id == frame["stream"]
    if frame["data"].startswith("{"):
        status, expected = json.loads(text), json.loads(frame["data"])
        assert {**status, "message": ""} == {**expected, "message": ""} if "message" in expected else status == expected
    else:
        assert text.decode() == frame["data"]


def test_a_recorded_exec_gets_the_same_frames() -> None:
    async def run(streams: Streams) -> int:
        await streams.write_stdout(b"hello from spdy\n")
        return 3

    async def client(wire: Wire) -> None:
        for frame in recording("spdy-exec"):
            if frame["from"] == "client":
                play(wire, frame)
            else:
                await compare(wire, frame)

    command_session(run, client)


def test_a_recorded_terminal_session_gets_the_same_frames() -> None:
    sizes: list[TerminalSize] = []

    async def run(streams: Streams) -> int:
        sizes.append(await streams.next_resize())
        await streams.write_stdout(b"hello from spdy\n")
        await streams.write_stderr(b"there is no stderr with a terminal")
        return 0

    async def client(wire: Wire) -> None:
        for frame in recording("spdy-exec-tty"):
            if frame["from"] == "client":
                play(wire, frame)
            else:
                await compare(wire, frame)

    command_session(run, client, stdin=True, stderr=False, tty=True)
    assert sizes == [TerminalSize(80, 24)]


def open_streams(wire: Wire, *names: str) -> None:
    for number, name in enumerate(names):
        wire.open(2 * number + 1, streamtype=name)


def test_stdin_arrives_and_ends() -> None:
    async def run(streams: Streams) -> int:
        text = b""
        while data := await streams.read_stdin():
            text += data
        assert await streams.read_stdin() == b""
        await streams.write_stdout(text.upper())
        return 0

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdin", "stdout", "stderr")
        wire.send(spdy.Encoder.data(3, b"ab") + spdy.Encoder.data(3, b"c", fin=True))
        assert await wire.text(5) == b"ABC"

    command_session(run, client, stdin=True)


def test_the_command_starts_only_when_all_streams_are_open() -> None:
    async def run(streams: Streams) -> int:
        await streams.write_stdout(b"x")
        return 0

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdout")
        await wire.expect(spdy.SynReply(stream_id=1), spdy.SynReply(stream_id=3))
        wire.send(spdy.Encoder.ping(1))
        await wire.expect(spdy.Ping(ping_id=1))  # and no output before it
        wire.open(5, streamtype="stderr")
        await wire.expect(spdy.SynReply(stream_id=5), spdy.Data(stream_id=3, data=b"x"))

    command_session(run, client)


def test_streams_nobody_asked_for_are_refused_and_the_others_live_on() -> None:
    async def run(streams: Streams) -> int:
        return 0

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "bogus", "stdout", "stdout", "stderr")
        refused = spdy.ResetStatus.REFUSED_STREAM
        await wire.expect(
            spdy.SynReply(stream_id=1),
            spdy.Reset(stream_id=3, status=refused),
            spdy.SynReply(stream_id=5),
            spdy.Reset(stream_id=7, status=refused),
            spdy.SynReply(stream_id=9),
        )
        assert json.loads(await wire.text(1)) == {"metadata": {}, "status": "Success"}

    command_session(run, client)


@pytest.mark.parametrize("error", [errors.NotFound("container web is gone"), OSError(5, "Input/output error")])
def test_an_error_is_told_in_a_kubelets_words(error: Exception) -> None:
    async def run(streams: Streams) -> int:
        raise error

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdout", "stderr")
        status = json.loads(await wire.text(1))
        assert status["message"] == f"Internal error occurred: doing it: {error}"
        assert status["reason"] == "InternalError"

    command_session(run, client)


def test_a_flaw_of_ours_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def run(streams: Streams) -> int:
        raise ZeroDivisionError("secret detail")

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdout", "stderr")
        status = json.loads(await wire.text(1))
        assert "secret" not in status["message"]

    command_session(run, client)
    assert "secret detail" in caplog.text


def test_an_old_protocol_gets_its_error_as_text() -> None:
    async def run(streams: Streams) -> int:
        return 3

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdout", "stderr")
        assert await wire.text(1) == b"command terminated with non-zero exit code: exit status 3"

    command_session(run, client, protocol="v2.channel.k8s.io")


@pytest.mark.parametrize("how", ["hangs up", "says goodbye", "talks nonsense"])
def test_a_client_that_leaves_cancels_the_command(how: str) -> None:
    outcome: list[str] = []

    async def run(streams: Streams) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert streams.disconnected.is_set()
            with pytest.raises(ConnectionResetError):
                await streams.read_stdin()
            with pytest.raises(ConnectionResetError):
                await streams.write_stdout(b"x")
            with pytest.raises(ConnectionResetError):
                await streams.next_resize()
            outcome.append("cancelled")
            raise
        return 0

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdin", "stdout", "stderr")
        await wire.expect(*(spdy.SynReply(stream_id=number) for number in (1, 3, 5, 7)))
        wire.send({"hangs up": b"", "says goodbye": spdy.Encoder.goaway(0), "talks nonsense": b"\x80\x02\x00\x01\x00\x00\x00\x00"}[how])
        status = spdy.GoAwayStatus.PROTOCOL_ERROR if how == "talks nonsense" else spdy.GoAwayStatus.OK
        await wire.expect(spdy.GoAway(last_stream_id=7, status=status))

    command_session(run, client, stdin=True)
    assert outcome == ["cancelled"]


def test_a_full_stdin_stops_reading_and_an_emptied_one_goes_on() -> None:
    piece = b"x" * (256 * 1024)
    go = asyncio.Event()
    total = 0

    async def run(streams: Streams) -> int:
        nonlocal total
        await go.wait()
        while data := await streams.read_stdin():
            assert len(data) <= channel.PIECE_BYTES
            total += len(data)
        return 0

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdin", "stdout", "stderr")
        await wire.expect(*(spdy.SynReply(stream_id=number) for number in (1, 3, 5, 7)))
        for _ in range(40):
            wire.send(spdy.Encoder.data(3, piece))
        wire.send(spdy.Encoder.data(3, b"", fin=True))
        for _ in range(200):
            await asyncio.sleep(0)
        assert wire.reads < 4 + 40 / 2  # about 1 MiB was taken, not 10
        go.set()
        await wire.text(1)

    command_session(run, client, stdin=True)
    assert total == 40 * len(piece)


def test_a_stalled_stdin_pings_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy_session, "STALL_PING_SECONDS", 0.001)

    async def run(streams: Streams) -> int:
        await asyncio.Event().wait()
        return 0

    async def client(wire: Wire) -> None:
        open_streams(wire, "error", "stdin", "stdout", "stderr")
        await wire.expect(*(spdy.SynReply(stream_id=number) for number in (1, 3, 5, 7)))
        wire.send(spdy.Encoder.data(3, bytes(2 * spdy_session.BUFFER_BYTES)))
        await wire.expect(spdy.Ping(ping_id=2), spdy.Ping(ping_id=4))
        wire.write = _gone  # type: ignore[method-assign]  # from here on the client is found dead

    command_session(run, client, stdin=True)


async def _gone(data: bytes) -> None:
    raise ConnectionResetError


def test_noise_after_the_upgrade_ends_the_session() -> None:
    async def main() -> None:
        source = random.Random(9)
        for _ in range(200):
            wire = Wire()
            session = spdy_session.SpdySession(wire, lambda stream: None)
            for _ in range(3):
                wire.send(source.randbytes(source.randrange(1, 80)))
            wire.hang_up()
            async with asyncio.timeout(1):
                await session.run()
                await session.close()

    asyncio.run(main())


@pytest.mark.parametrize("numbers", [(2,), (3, 3), (5, 3)])
def test_stream_numbers_that_are_even_or_go_back_end_the_session(numbers: tuple[int, ...]) -> None:
    async def main() -> None:
        wire = Wire()
        session = spdy_session.SpdySession(wire, lambda stream: None)
        for number in numbers:
            wire.open(number)
        await session.run()
        await session.close()
        frames = [await wire.receive() for _ in numbers]
        assert isinstance(frames[-1], spdy.GoAway)
        assert frames[-1].status == spdy.GoAwayStatus.PROTOCOL_ERROR

    asyncio.run(main())


def test_more_streams_than_anybody_needs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy_session, "MAX_STREAMS", 2)

    async def main() -> None:
        wire = Wire()
        session = spdy_session.SpdySession(wire, lambda stream: None)
        for number in (1, 3, 5):
            wire.open(number)
        wire.hang_up()
        await session.run()
        refused = spdy.Reset(stream_id=5, status=spdy.ResetStatus.REFUSED_STREAM)
        await wire.expect(spdy.SynReply(stream_id=1), spdy.SynReply(stream_id=3), refused)

    asyncio.run(main())


class Backend:
    """A program in a Pod that answers over a real loopback socket."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.requests: list[bytes] = []

    async def __aenter__(self) -> Backend:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.read(1024))
        writer.write(self._answer)
        writer.close()

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._server.sockets[0].getsockname()[1])


Connect = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def forward_session(connect: Connect, client: Callable[[Wire], Awaitable[None]]) -> None:
    wire = Wire()
    forwarder = Forwarder(wire, connect, lambda port, reason: f"error forwarding port {port} to pod abc, uid : {reason}")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(forwarder.run())
        await client(wire)
        wire.hang_up()
        await wire.closed.wait()


def test_two_recorded_connections_get_their_answers() -> None:
    async def client(wire: Wire) -> None:
        for frame in recording("port-forward-two-connections"):
            if frame["from"] == "client" and frame["frame"] in ("SYN_STREAM", "DATA"):
                play(wire, frame)
        texts: dict[int, bytes] = {}
        ended: set[int] = set()
        while ended != {1, 3, 5, 7}:
            answered = await wire.receive()
            if isinstance(answered, spdy.Data):
                texts[answered.stream_id] = texts.get(answered.stream_id, b"") + answered.data
                if answered.fin:
                    ended.add(answered.stream_id)
        answer = b"HTTP/1.0 200 OK\r\n\r\nhi"
        assert texts == {1: b"", 3: b"", 5: answer, 7: answer}

    async def main() -> None:
        async with Backend(b"HTTP/1.0 200 OK\r\n\r\nhi") as backend:
            await forward_session(backend.connect, client)
            assert backend.requests == [b"GET / HTTP/1.0\r\n\r\n"] * 2

    asyncio.run(main())


def test_recorded_refused_connections_are_explained_one_by_one() -> None:
    async def refuse(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise errors.Unavailable("failed to connect to localhost:80 inside namespace")

    async def client(wire: Wire) -> None:
        for frame in recording("port-forward-refused"):
            if frame["from"] == "client" and frame["frame"] in ("SYN_STREAM", "DATA"):
                play(wire, frame)
        for stream_id in (1, 5, 9):
            text = await wire.text(stream_id)
            assert text == b"error forwarding port 80 to pod abc, uid : failed to connect to localhost:80 inside namespace"

    asyncio.run(forward_session(refuse, client))


def test_a_flaw_in_connect_costs_only_that_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def client(wire: Wire) -> None:
        wire.open(1, streamtype="error", port="1", requestid="0")
        wire.open(3, streamtype="data", port="1", requestid="0")
        assert b"log says why" in await wire.text(1)
        wire.open(5, streamtype="error", port="2", requestid="1")
        wire.open(7, streamtype="data", port="2", requestid="1")
        wire.send(spdy.Encoder.data(7, b"x"))
        assert await wire.text(7) == b"fine"

    async def main() -> None:
        async with Backend(b"fine") as backend:

            async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                if port == 1:
                    raise ZeroDivisionError
                return await backend.connect(port)

            await forward_session(connect, client)

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text


def test_a_reset_stream_closes_its_connection_and_no_other() -> None:
    async def main() -> None:
        ended: asyncio.Queue[bytes] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            name = await reader.read(1)
            writer.write(name)
            await reader.read()
            ended.put_nowait(name)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def connect(_: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port)

        async def client(wire: Wire) -> None:
            for number, name in ((1, b"a"), (5, b"b")):
                wire.open(number, streamtype="error", port="1", requestid=str(number))
                wire.open(number + 2, streamtype="data", port="1", requestid=str(number))
                wire.send(spdy.Encoder.data(number + 2, name))
                while await wire.receive() != spdy.Data(stream_id=number + 2, data=name):
                    pass
            wire.send(spdy.Encoder.reset(3, spdy.ResetStatus.CANCEL))
            assert await ended.get() == b"a"
            assert ended.empty()
            wire.hang_up()
            assert await ended.get() == b"b"

        async with server:
            await forward_session(connect, client)

    asyncio.run(main())


def test_a_stream_without_its_counterpart_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podspace.streaming.forward.PAIR_SECONDS", 0.001)

    async def nowhere(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise AssertionError("there is nothing to connect")

    async def client(wire: Wire) -> None:
        wire.open(1, streamtype="error", port="80", requestid="0")
        assert b"timed out waiting for the data stream" in await wire.text(1)
        wire.open(3, streamtype="data", port="80", requestid="1")
        while await wire.receive() != spdy.Reset(stream_id=3, status=spdy.ResetStatus.CANCEL):
            pass

    asyncio.run(forward_session(nowhere, client))


def test_a_bad_stream_is_refused_and_the_session_lives_on() -> None:
    async def refuse(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise ConnectionRefusedError(111, "Connection refused")

    async def client(wire: Wire) -> None:
        wire.open(1, streamtype="data", port="http")
        await wire.expect(spdy.Reset(stream_id=1, status=spdy.ResetStatus.REFUSED_STREAM))
        wire.open(3, streamtype="error", port="80")
        wire.open(5, streamtype="data", port="80")
        assert b"Connection refused" in await wire.text(3)

    asyncio.run(forward_session(refuse, client))

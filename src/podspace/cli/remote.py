"""The client's side of exec and attach: pumps bytes between our descriptors and a WebSocket until the remote command ends.

Called by ``exec``, ``attach``, ``debug`` and ``copy``. One loop over poll(2), no threads. Reads no more from standard input than the
server takes, and writes standard output as slowly as its reader reads.
Source: Kubernetes remote command protocol v5.channel.k8s.io.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys

from podspace.cli import client, failure, terminal, websocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podspace.kube.json import JSON

STDIN, STDOUT, STDERR, ERROR, RESIZE, HALF_CLOSE = 0, 1, 2, 3, 4, 255
READ_BYTES = 1 << 15
RECEIVE_BYTES = 1 << 18
HIGH_WATER_BYTES = 1 << 18
READABLE = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Ends:
    """Our side. ``stdin`` None: nothing is sent. ``terminal``: the descriptor whose size and raw mode matter, None without ``-t``."""

    __slots__ = ("stderr", "stdin", "stdout", "terminal")

    def __init__(self, *, stdin: int | None = None, stdout: int = 1, stderr: int = 2, terminal: int | None = None) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal


def open_session(api: client.Client, path: str) -> tuple[client.Connection, websocket.Reader]:
    """Ask for the upgrade. Raises: failure.ServerFailure with the server's reason not to."""
    key, headers = websocket.handshake()
    response = api.upgrade(path, headers)
    if not websocket.accepts(key, response.headers):
        raise failure.Failure(f"the server does not speak {websocket.PROTOCOL}")
    return response.connection, websocket.Reader()


def run(api: client.Client, path: str, ends: Ends) -> JSON:
    """Run one session to its end; return the Status the server closed it with.

    Raises: failure.Failure when the connection breaks; BrokenPipeError when nobody reads our output any more.
    """
    connection, reader = open_session(api, path)
    with contextlib.ExitStack() as stack:
        stack.callback(connection.sock.close)
        resized = None
        if ends.terminal is not None:
            stack.enter_context(terminal.raw(ends.terminal))
            resized = stack.enter_context(terminal.resizes())
        return _Pump(connection, reader, ends, resized).run()


def exit_code(status: JSON, *, quiet: bool = False) -> int:
    """What the process shall exit with, said as kubectl says it. Raises: failure.Failure when the command never ran."""
    if status.get("status") != "Failure":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                if not quiet:
                    print(f"command terminated with exit code {cause['message']}", file=sys.stderr)
                return int(cause["message"])
    raise failure.Failure(str(status.get("message") or "the remote command failed"))


class _Pump:
    def __init__(self, connection: client.Connection, reader: websocket.Reader, ends: Ends, resized: int | None) -> None:
        self._connection = connection
        self._reader = reader
        self._ends = ends
        self._resized = resized
        self._out = bytearray()
        self._status: JSON | None = None
        self._open = True
        self._stdin = ends.stdin

    def run(self) -> JSON:
        sock = self._connection.sock
        sock.setblocking(False)
        self._send_size()
        self._take(self._connection.receive() if self._connection.buffer else b"")
        self._receive()  # TLS may hold bytes that poll(2) does not see
        while self._open:
            self._flush()
            for descriptor, events in self._poll(sock.fileno()):
                if descriptor == sock.fileno():
                    if events & READABLE:
                        self._receive()
                elif descriptor == self._resized:
                    os.read(descriptor, 512)
                    self._send_size()
                else:
                    self._read_stdin(descriptor)
        if self._status is None:
            raise failure.Failure("unexpected EOF: the connection to the server was lost")
        return self._status

    def _poll(self, server: int) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(server, READABLE | (select.POLLOUT if self._out else 0))
        if self._stdin is not None and len(self._out) < HIGH_WATER_BYTES:
            poll.register(self._stdin, READABLE)
        if self._resized is not None:
            poll.register(self._resized, READABLE)
        return poll.poll()

    def _read_stdin(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._send(bytes((STDIN,)) + data)
        else:
            self._stdin = None
            self._send(bytes((HALF_CLOSE, STDIN)))

    def _send_size(self) -> None:
        if self._ends.terminal is not None:
            width, height = terminal.size(self._ends.terminal)
            self._send(bytes((RESIZE,)) + json.dumps({"Width": width, "Height": height}).encode())

    def _send(self, message: bytes) -> None:
        self._out += websocket.frame(websocket.BINARY, message)

    def _flush(self) -> None:
        while self._out:
            try:
                with memoryview(self._out) as view, view[:RECEIVE_BYTES] as part:
                    sent = self._connection.sock.send(part)
            except OSError as error:
                if not _would_block(error):
                    self._out.clear()  # the reason is in what the server still has to say
                return
            del self._out[:sent]

    def _receive(self) -> None:
        """Take everything that is there."""
        while self._open:
            try:
                data = self._connection.sock.recv(RECEIVE_BYTES)
            except OSError as error:
                if _would_block(error):
                    return
                data = b""
            if not data:
                self._open = False
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            for opcode, payload in self._reader.feed(data):
                self._handle(opcode, payload)
        except websocket.ProtocolError as error:
            raise failure.Failure(f"the server broke the protocol: {error}") from None

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == websocket.CLOSE:
            self._open = False
        elif opcode == websocket.PING:
            self._out += websocket.frame(websocket.PONG, payload)
        elif opcode in (websocket.BINARY, websocket.TEXT) and len(payload) > 1:
            channel = payload[0]
            if channel in (STDOUT, STDERR):
                _write_all(self._ends.stdout if channel == STDOUT else self._ends.stderr, memoryview(payload)[1:])
            elif channel == ERROR:
                self._status = json.loads(payload[1:])


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # somebody made our output non-blocking
            waiting = select.poll()
            waiting.register(descriptor, select.POLLOUT)
            waiting.poll()


def _would_block(error: OSError) -> bool:
    """TLS has classes of its own for it, in a module that is imported only with TLS."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")

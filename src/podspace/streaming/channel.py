"""Bytes that wait for their reader, and the ``Streams`` that exec and attach are given.

Used by the other modules here. What a client may make us hold is bounded by a ``Budget``: whoever reads from the network
waits for ``room`` before it reads on, so TCP slows the client down. It must not know protocols.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from podspace.wire.remotecommand import Channel, ResizeDecoder
from podspace.wire.streams import TerminalSize

PIECE_BYTES = 64 * 1024


class Budget:
    """How many bytes of one connection wait for their readers."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used = 0
        self._fits = asyncio.Event()
        self._fits.set()

    def take(self, count: int) -> None:
        self._used += count
        if self._used >= self._limit_bytes:
            self._fits.clear()

    def give_back(self, count: int) -> None:
        self._used -= count
        if self._used < self._limit_bytes:
            self._fits.set()

    @property
    def full(self) -> bool:
        return not self._fits.is_set()

    async def room(self, patience_seconds: float) -> bool:
        """Wait until there is room again; False when ``patience_seconds`` went by without."""
        try:
            async with asyncio.timeout(patience_seconds):
                await self._fits.wait()
        except TimeoutError:
            return False
        return True


class Inbox:
    """One stream's bytes in the order they came, for one reader."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._pieces: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._lost = False

    def put(self, data: bytes) -> None:
        """Keep ``data`` for the reader; dropped after ``end``, ``lose`` or ``discard``."""
        if self._ended or not data:
            return
        self._budget.take(len(data))
        if len(data) <= PIECE_BYTES:
            self._pieces.append(data)
        else:
            self._pieces.extend(data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))
        self._changed.set()

    def end(self) -> None:
        """The writer is done: what is here may still be read."""
        self._ended = True
        self._changed.set()

    def lose(self) -> None:
        """The writer is gone: reading raises from now on."""
        self._lost = True
        self.discard()

    def discard(self) -> None:
        """The reader is done: what is here and what comes is thrown away."""
        self._budget.give_back(sum(map(len, self._pieces)))
        self._pieces.clear()
        self.end()

    async def get(self) -> bytes:
        """Return the next bytes, at most PIECE_BYTES; b"" for ever after the end.  Raises: ConnectionResetError (``lose``)."""
        while not self._pieces:
            if self._lost:
                raise ConnectionResetError("the client is gone")
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        piece = self._pieces.popleft()
        self._budget.give_back(len(piece))
        return piece


class RemoteStreams:
    """``wire.streams.Streams`` on top of any protocol: ``send`` takes output, the feeding methods take what the client sent."""

    def __init__(
        self,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        tty: bool,
        inbox: Inbox,
        send: Callable[[Channel, bytes | memoryview], Awaitable[None]],
    ) -> None:
        self.tty = tty
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.disconnected = asyncio.Event()
        self._inbox = inbox
        self._send = send
        self._resizes = ResizeDecoder()
        self._size: TerminalSize | None = None
        self._resized = asyncio.Event()
        if not stdin:
            inbox.discard()

    async def read_stdin(self) -> bytes:
        return await self._inbox.get()

    async def write_stdout(self, data: bytes | memoryview) -> None:
        await self._write(self.stdout, Channel.STDOUT, data)

    async def write_stderr(self, data: bytes | memoryview) -> None:
        await self._write(self.stderr, Channel.STDERR, data)

    async def _write(self, wanted: bool, channel: Channel, data: bytes | memoryview) -> None:
        if self.disconnected.is_set():
            raise ConnectionResetError("the client is gone")
        if not wanted or not data:
            return
        for start in range(0, len(data), PIECE_BYTES):
            try:
                await self._send(channel, data[start : start + PIECE_BYTES])
            except ConnectionError as error:  # aiohttp has more than one kind
                raise ConnectionResetError("the client is gone") from error

    async def next_resize(self) -> TerminalSize:
        """Sizes that came while nobody waited are merged: only the last one matters."""
        while self._size is None:
            if self.disconnected.is_set():
                raise ConnectionResetError("the client is gone")
            self._resized.clear()
            await self._resized.wait()
        size, self._size = self._size, None
        return size

    def feed_resize(self, data: bytes) -> None:
        for size in self._resizes.feed(data):
            self._size = size
            self._resized.set()

    def disconnect(self) -> None:
        """The client is gone: wake whoever waits for it."""
        self.disconnected.set()
        self._inbox.lose()
        self._resized.set()

"""A small SPDY/3.1 client, as kubelets and crictl are: one HTTP upgrade, then streams by header."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from podspace.wire import spdy


class Connection:
    """Streams that the client opens; what the server sends on each is collected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = spdy.Encoder()
        self._decoder = spdy.Decoder()
        self._next = 1
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()

    @classmethod
    async def open(cls, url: str, protocol: str) -> Connection:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = [
            f"POST {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            f"X-Stream-Protocol-Version: {protocol}",
            "Content-Length: 0",
        ]
        writer.write("\r\n".join([*head, "", ""]).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return cls(reader, writer)

    def stream(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        identifier, self._next = self._next, self._next + 2
        self.received[identifier] = b""
        self._writer.write(self._encoder.syn_stream(identifier, headers, fin=fin))
        return identifier

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        self._writer.write(self._encoder.data(stream, data, fin=fin))

    async def until(self, *streams: int) -> None:
        """Read until the server has ended all of ``streams`` (or the connection)."""
        while not set(streams) <= self.ended:
            chunk = await self._reader.read(65536)
            if not chunk:
                return
            for frame in self._decoder.feed(chunk):
                self._take(frame)

    def _take(self, frame: spdy.Frame) -> None:
        if isinstance(frame, spdy.Data):
            self.received[frame.stream_id] += bytes(frame.data)
            if len(frame.data):
                self._writer.write(self._encoder.window_update(frame.stream_id, len(frame.data)))
                self._writer.write(self._encoder.window_update(0, len(frame.data)))
        if (isinstance(frame, spdy.Data | spdy.SynReply) and frame.fin) or isinstance(frame, spdy.Reset):
            self.ended.add(frame.stream_id)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

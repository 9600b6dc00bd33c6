"""One SPDY connection with its streams: who is open, whose bytes go where.

Used by ``command`` and ``forward``; framing is ``wire.spdy``, bytes come and go through a ``Link``. It must not know
what the streams carry.

``run`` is the only reader. It stops reading while more than BUFFER_BYTES wait for their readers: the peer (Go's spdystream) knows no
windows, so a stream that nobody reads holds up its neighbours, as it does in a kubelet. Meanwhile it pings, to notice a dead client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from podspace.streaming.channel import PIECE_BYTES, Budget, Inbox
from podspace.streaming.link import Link
from podspace.wire import spdy
from podspace.wire.protocol import ProtocolError

BUFFER_BYTES = 1024 * 1024
MAX_STREAMS = 4096
STALL_PING_SECONDS = 5.0
GOODBYE_SECONDS = 10.0


class SpdyStream:
    """One stream the client opened."""

    def __init__(self, session: SpdySession, stream_id: int, headers: Mapping[str, str], budget: Budget) -> None:
        self.id = stream_id
        self.headers = headers
        self.inbox = Inbox(budget)
        self.gone = False  # reset by either side
        self.finished = False  # we will not send
        self.ended = False  # the client will not send
        self._session = session

    async def write(self, data: bytes | memoryview) -> None:
        """Send; dropped when the client has reset the stream.  Raises: ConnectionResetError when the connection is lost."""
        for start in range(0, len(data), PIECE_BYTES):
            if self.gone or self.finished:
                return
            await self._session.send(spdy.Encoder.data(self.id, data[start : start + PIECE_BYTES]))

    async def finish(self) -> None:
        """Say that nothing more will be sent."""
        if self.gone or self.finished:
            return
        self.finished = True
        await self._session.send(spdy.Encoder.data(self.id, b"", fin=True))
        self._session.forget_if_over(self)

    async def reset(self, status: spdy.ResetStatus = spdy.ResetStatus.CANCEL) -> None:
        """Break it off both ways."""
        if self.gone:
            return
        self._session.drop(self)
        await self._session.send(spdy.Encoder.reset(self.id, status))


class SpdySession:
    """The server's end. ``accept`` is called for each new stream, before anything else of it is read; ProtocolError refuses the stream."""

    def __init__(self, link: Link, accept: Callable[[SpdyStream], None]) -> None:
        self._link = link
        self._accept = accept
        self._encoder = spdy.Encoder()
        self._decoder = spdy.Decoder()
        self.budget = Budget(BUFFER_BYTES)
        self._streams: dict[int, SpdyStream] = {}
        self._last_id = 0
        self._own_pings = 0
        self._left = False
        self._farewell = spdy.GoAwayStatus.OK

    async def run(self) -> None:
        """Read until the client leaves, by GOAWAY or by hanging up, or speaks something else than SPDY."""
        try:
            while not self._left and (data := await self._link.read()):
                for frame in self._decoder.feed(data):
                    await self._handle(frame)
                await self._wait_for_room()
        except ProtocolError:
            self._farewell = spdy.GoAwayStatus.PROTOCOL_ERROR
        except ConnectionError:
            pass
        finally:
            for stream in list(self._streams.values()):
                self.drop(stream)

    async def send(self, frame: bytes) -> None:
        await self._link.write(frame)

    async def close(self) -> None:
        """Say goodbye. The streams must be finished before, and the client have had time: it throws away what GOAWAY overtakes."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self.send(spdy.Encoder.goaway(self._last_id, self._farewell))
        await self._link.close()

    def drop(self, stream: SpdyStream) -> None:
        """Forget a stream that is broken off; its reader gets ConnectionResetError."""
        stream.gone = True
        stream.inbox.lose()
        self._streams.pop(stream.id, None)

    def forget_if_over(self, stream: SpdyStream) -> None:
        if stream.ended and stream.finished:
            self._streams.pop(stream.id, None)

    async def _wait_for_room(self) -> None:
        while self.budget.full and not await self.budget.room(STALL_PING_SECONDS):
            self._own_pings += 2
            await self.send(spdy.Encoder.ping(self._own_pings))

    async def _handle(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.Data(stream_id=stream_id, data=data, fin=fin):
                self._feed(stream_id, data, fin)
            case spdy.SynStream():
                await self._open(frame)
            case spdy.Reset(stream_id=stream_id):
                if (stream := self._streams.get(stream_id)) is not None:
                    self.drop(stream)
            case spdy.Ping(ping_id=ping_id):
                if ping_id % 2:  # an even one is the answer to ours
                    await self.send(spdy.Encoder.ping(ping_id))
            case spdy.GoAway():
                self._left = True
            case spdy.Headers(stream_id=stream_id, fin=fin):
                self._feed(stream_id, b"", fin)
            case _:
                pass  # replies are for streams we never open; settings and windows are not used by anyone

    def _feed(self, stream_id: int, data: bytes, fin: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            if stream_id > self._last_id:
                raise ProtocolError(f"SPDY: data on stream {stream_id}, which was never opened")
            return  # over, or reset by us while this was under way
        stream.inbox.put(data)
        if fin:
            stream.ended = True
            stream.inbox.end()
            self.forget_if_over(stream)

    async def _open(self, frame: spdy.SynStream) -> None:
        if frame.stream_id % 2 == 0 or frame.stream_id <= self._last_id:
            raise ProtocolError(f"SPDY: stream number {frame.stream_id} out of order")
        self._last_id = frame.stream_id
        if len(self._streams) >= MAX_STREAMS:
            await self.send(spdy.Encoder.reset(frame.stream_id, spdy.ResetStatus.REFUSED_STREAM))
            return
        stream = SpdyStream(self, frame.stream_id, frame.headers, self.budget)
        try:
            self._accept(stream)
        except ProtocolError:
            await self.send(spdy.Encoder.reset(frame.stream_id, spdy.ResetStatus.REFUSED_STREAM))
            return
        self._streams[stream.id] = stream
        await self.send(self._encoder.syn_reply(stream.id))
        self._feed(stream.id, b"", frame.fin)

"""SPDY/3.1 framing: bytes in, frames out, and back.

What kubectl before 1.31 and kubelets speak for exec, attach and (every kubectl) port-forward. Used by ``streaming.spdy`` and by
tests, which play the client with it. It must not know streams' meaning, nor keep their state: that is the session's.

The only peer in the wild is Go's moby/spdystream. It ignores WINDOW_UPDATE and SETTINGS, sends neither, and sends DATA without regard
to any window; so nothing here counts windows: back-pressure is TCP's.  Source: SPDY Protocol, Draft 3.1, section 2.6.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from podspace.wire.protocol import ProtocolError
from podspace.wire.spdy_headers import HeaderDecoder, HeaderEncoder

VERSION = 3
MAX_CONTROL_BYTES = 64 * 1024
MAX_DATA_BYTES = (1 << 24) - 1
_FIN = 0x01
_HEAD = struct.Struct(">II")
_WORD = struct.Struct(">I")
_STREAM_MASK = 0x7FFFFFFF


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetStatus(IntEnum):
    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6


class GoAwayStatus(IntEnum):
    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SynStream:
    """The peer opens a stream; ``fin`` = it will not send on it."""

    stream_id: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SynReply:
    stream_id: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    stream_id: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Part of a DATA frame, or all of it: large frames come in pieces as they arrive. ``fin`` is on the last piece only."""

    stream_id: int
    data: bytes = b""
    fin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    ping_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway:
    last_stream_id: int
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Nothing in it concerns us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowUpdate:
    stream_id: int
    delta: int


Frame = SynStream | SynReply | Headers | Data | Reset | Ping | GoAway | Settings | WindowUpdate


class Decoder:
    """Turns what arrives, in pieces of any size, into frames. Holds at most one control frame, never a DATA frame.

    After it raised ProtocolError it must not be fed again.
    """

    def __init__(self) -> None:
        self._headers = HeaderDecoder()
        self._pending = bytearray()  # an incomplete frame head or control frame
        self._wanted = _HEAD.size  # how long it must be before looking at it again is worth while
        self._data_stream = 0
        self._data_left = 0  # bytes of the current DATA frame still to come
        self._data_fin = False

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes, in order.  Raises: ProtocolError."""
        frames: list[Frame] = []
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return frames
            data = bytes(self._pending)
            self._pending.clear()
        view = memoryview(data)
        while view:
            taken = self._take_data(view, frames) if self._data_left else self._take_frame(view, frames)
            if not taken:
                self._pending += view
                break
            view = view[taken:]
        return frames

    def _take_data(self, view: memoryview, frames: list[Frame]) -> int:
        piece = bytes(view[: self._data_left])
        self._data_left -= len(piece)
        frames.append(Data(stream_id=self._data_stream, data=piece, fin=self._data_fin and not self._data_left))
        return len(piece)

    def _take_frame(self, view: memoryview, frames: list[Frame]) -> int:
        self._wanted = _HEAD.size
        if len(view) < _HEAD.size:
            return 0
        first, second = _HEAD.unpack_from(view)
        flags, length = second >> 24, second & 0xFFFFFF
        if first >> 31:
            return self._take_control(view, first, flags, length, frames)
        self._begin_data(first, flags, length, frames)
        return _HEAD.size

    def _begin_data(self, stream_id: int, flags: int, length: int, frames: list[Frame]) -> None:
        if not stream_id:
            raise ProtocolError("SPDY: DATA on stream 0")
        self._data_stream, self._data_left, self._data_fin = stream_id, length, bool(flags & _FIN)
        if not length:
            frames.append(Data(stream_id=stream_id, fin=self._data_fin))

    def _take_control(self, view: memoryview, first: int, flags: int, length: int, frames: list[Frame]) -> int:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise ProtocolError(f"SPDY: version {version} in a control frame, expected {VERSION}")
        if length > MAX_CONTROL_BYTES:
            raise ProtocolError(f"SPDY: control frame of {length} bytes is over the limit of {MAX_CONTROL_BYTES}")
        end = _HEAD.size + length
        if len(view) < end:
            self._wanted = end
            return 0
        frame = self._control(kind, flags, bytes(view[_HEAD.size : end]))
        if frame is not None:
            frames.append(frame)
        return end

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        fin = bool(flags & _FIN)
        match kind:
            case FrameType.SYN_STREAM:
                return SynStream(stream_id=_stream_id(body), headers=self._headers.decode(_rest(body, 10)), fin=fin)
            case FrameType.SYN_REPLY:
                return SynReply(stream_id=_stream_id(body), headers=self._headers.decode(_rest(body, 4)), fin=fin)
            case FrameType.HEADERS:
                return Headers(stream_id=_stream_id(body), headers=self._headers.decode(_rest(body, 4)), fin=fin)
            case FrameType.RST_STREAM:
                return Reset(stream_id=_stream_id(body), status=_word(body, 4))
            case FrameType.PING:
                return Ping(ping_id=_word(body, 0))
            case FrameType.GOAWAY:
                return GoAway(last_stream_id=_word(body, 0) & _STREAM_MASK, status=_word(body, 4))
            case FrameType.WINDOW_UPDATE:
                return WindowUpdate(stream_id=_word(body, 0) & _STREAM_MASK, delta=_word(body, 4) & _STREAM_MASK)
            case FrameType.SETTINGS:
                return Settings()
        return None  # section 2.2.1: a control frame of unknown type is ignored


def _word(body: bytes, offset: int) -> int:
    if len(body) < offset + 4:
        raise ProtocolError("SPDY: control frame is cut short")
    word: int = _WORD.unpack_from(body, offset)[0]
    return word


def _stream_id(body: bytes) -> int:
    stream_id = _word(body, 0) & _STREAM_MASK
    if not stream_id:
        raise ProtocolError("SPDY: control frame for stream 0")
    return stream_id


def _rest(body: bytes, offset: int) -> bytes:
    if len(body) < offset:
        raise ProtocolError("SPDY: control frame is cut short")
    return body[offset:]


class Encoder:
    """Makes the frames of one direction. The order of ``syn_*`` calls must be the order on the wire: they share a deflate stream."""

    def __init__(self) -> None:
        self._headers = HeaderEncoder()

    def syn_stream(self, stream_id: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        block = self._headers.encode(headers)
        return _control_frame(FrameType.SYN_STREAM, struct.pack(">IIH", stream_id, 0, 0) + block, fin=fin)

    def syn_reply(self, stream_id: int, headers: Mapping[str, str] | None = None, *, fin: bool = False) -> bytes:
        return _control_frame(FrameType.SYN_REPLY, _WORD.pack(stream_id) + self._headers.encode(headers or {}), fin=fin)

    @staticmethod
    def data(stream_id: int, data: bytes | memoryview, *, fin: bool = False) -> bytes:
        """``data`` is at most MAX_DATA_BYTES long."""
        return b"".join((_HEAD.pack(stream_id, (_FIN << 24 if fin else 0) | len(data)), data))

    @staticmethod
    def reset(stream_id: int, status: ResetStatus) -> bytes:
        return _control_frame(FrameType.RST_STREAM, _HEAD.pack(stream_id, status))

    @staticmethod
    def ping(ping_id: int) -> bytes:
        """A server's own pings have even numbers, a client's odd ones; an answer repeats the number."""
        return _control_frame(FrameType.PING, _WORD.pack(ping_id))

    @staticmethod
    def goaway(last_stream_id: int, status: GoAwayStatus = GoAwayStatus.OK) -> bytes:
        """``last_stream_id``: the last stream of the peer's that was accepted."""
        return _control_frame(FrameType.GOAWAY, _HEAD.pack(last_stream_id, status))

    @staticmethod
    def window_update(stream_id: int, delta: int) -> bytes:
        return _control_frame(FrameType.WINDOW_UPDATE, _HEAD.pack(stream_id, delta))


def _control_frame(kind: FrameType, body: bytes, *, fin: bool = False) -> bytes:
    return _HEAD.pack(1 << 31 | VERSION << 16 | kind, (_FIN << 24 if fin else 0) | len(body)) + body

"""A WebSocket client's side, without I/O: bytes in, messages out, and the frames to send. Used by ``remote`` for exec and attach.

Source: RFC 6455. Only what ``v5.channel.k8s.io`` needs: binary messages, ping, close.
"""

from __future__ import annotations

import binascii
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PROTOCOL = "v5.channel.k8s.io"


class ProtocolError(Exception):
    """The other side does not keep to RFC 6455."""


def handshake() -> tuple[str, dict[str, str]]:
    """A new key and the request headers that carry it."""
    key = binascii.b2a_base64(os.urandom(16), newline=False).decode()
    return key, {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": PROTOCOL,
    }


def accepts(key: str, headers: dict[str, str]) -> bool:
    """Whether a 101 answers our key and speaks our protocol."""
    try:
        from _sha1 import sha1  # type: ignore[import-not-found]  # hashlib's own; that one loads OpenSSL first, which takes 3 ms
    except ImportError:
        from hashlib import sha1

    expected = binascii.b2a_base64(sha1(key.encode() + GUID, usedforsecurity=False).digest(), newline=False).decode()
    return headers.get("sec-websocket-accept") == expected and headers.get("sec-websocket-protocol") == PROTOCOL


def frame(opcode: int, payload: bytes) -> bytes:
    """One final, masked frame."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + _masked(payload, mask)


class Reader:
    """Feed it what was received; it gives whole messages as (opcode, payload), control frames in between."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._opcode = 0
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises: ProtocolError."""
        self._buffer += data
        while (parsed := self._frame()) is not None:
            final, opcode, payload = parsed
            if opcode >= CLOSE:
                yield opcode, payload
                continue
            if opcode != CONTINUATION:
                self._opcode = opcode
            self._parts.append(payload)
            if final:
                whole = payload if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                yield self._opcode, whole

    def _frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or buffer[1] & 0x80:
            raise ProtocolError("reserved bits or a masked frame from the server")
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start += 2 if length == 126 else 8
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        payload = bytes(memoryview(buffer)[start : start + length])
        final, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        del buffer[: start + length]
        return final, opcode, payload


def _masked(payload: bytes, mask: bytes) -> bytes:
    """XOR as one big number: a hundred times faster than byte by byte."""
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")

"""What exec and attach say on the wire: channels of a WebSocket, terminal sizes, and the Status that ends a session.

Used by ``streaming``. It must not know HTTP, sockets or processes.

Over a WebSocket every message starts with a byte that names its channel (v5/v4/plain), or with a digit before base64 text. Over SPDY
each channel is a stream of its own and only ``ResizeDecoder`` and the Status apply.
Source: k8s.io/apimachinery pkg/util/remotecommand; KEP-4006 (v5: the CLOSE channel).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from podspace.wire.protocol import ProtocolError
from podspace.wire.streams import TerminalSize

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
V3 = "v3.channel.k8s.io"
V2 = "v2.channel.k8s.io"
V1 = "channel.k8s.io"
V1_BASE64 = "base64.channel.k8s.io"
UNNAMED = ""  # a WebSocket client that names no protocol gets V1

WEBSOCKET_PROTOCOLS: tuple[str, ...] = (V5, V4, V4_BASE64, V1, V1_BASE64, UNNAMED)
SPDY_PROTOCOLS: tuple[str, ...] = (V4, V3, V2, V1)

_MAX_RESIZE_BYTES = 4096


class Channel(IntEnum):
    """First byte of a WebSocket message."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255  # v5: the payload is the number of the channel that ends


def negotiate(offered: Sequence[str], served: Sequence[str]) -> str | None:
    """Return the first of the client's protocols that is served; None if there is none."""
    return next((name for name in offered if name in served), None)


def is_base64(protocol: str) -> bool:
    return protocol in (V4_BASE64, V1_BASE64)


def has_json_status(protocol: str) -> bool:
    """Before v4 the error channel carries a bare message, and nothing at all when all went well."""
    return protocol in (V5, V4, V4_BASE64)


def has_resize(protocol: str) -> bool:
    """Over SPDY: whether the client of a terminal opens a resize stream."""
    return protocol not in (V2, V1)


def encode(protocol: str, channel: int, data: bytes | memoryview) -> bytes:
    """Return the WebSocket message; a text message if the protocol is a base64 one, else a binary message."""
    if is_base64(protocol):
        return bytes((ord("0") + channel,)) + base64.b64encode(data)
    return b"".join((bytes((channel,)), data))


def decode(protocol: str, message: bytes) -> tuple[int, bytes]:
    """Split a WebSocket message into channel and payload. An unknown channel is the caller's to ignore.  Raises: ProtocolError."""
    if not message:
        raise ProtocolError("remote command: a message without a channel")
    if not is_base64(protocol):
        return message[0], message[1:]
    try:
        return message[0] - ord("0"), base64.b64decode(message[1:], validate=True)
    except binascii.Error as error:
        raise ProtocolError(f"remote command: a message that is not base64: {error}") from error


class ResizeDecoder:
    """Terminal sizes from the resize channel, a stream of ``{"Width":80,"Height":24}`` without a fixed separator."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[TerminalSize]:
        """Return the sizes that ``data`` completes. What is no size is dropped: a terminal of wrong size is no reason to end a session."""
        self._text = (self._text + data.decode("utf-8", "replace")).lstrip()
        sizes: list[TerminalSize] = []
        while self._text:
            try:
                value, end = json.JSONDecoder().raw_decode(self._text)
            except (ValueError, RecursionError):
                if len(self._text) > _MAX_RESIZE_BYTES or self._text.rstrip(" ").endswith("\n"):
                    self._text = ""
                break
            self._text = self._text[end:].lstrip()
            sizes += _sizes(value)
        return sizes


def _sizes(value: object) -> list[TerminalSize]:
    if not isinstance(value, dict):
        return []
    width, height = value.get("Width", 0), value.get("Height", 0)
    if not all(type(number) is int and 0 <= number <= 0xFFFF for number in (width, height)):
        return []
    return [TerminalSize(width, height)]


def exit_status(code: int) -> dict[str, Any]:
    """Return the Status for an exit code: Success, or NonZeroExitCode with the code as a cause (kubectl exits with it)."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def internal_error(message: str) -> dict[str, Any]:
    """Return the Status a kubelet makes of every failure that is not an exit code; kubectl prints its message."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def encode_status(protocol: str, status: dict[str, Any]) -> bytes:
    """Return what goes over the error channel; empty when the protocol has nothing to say."""
    if has_json_status(protocol):
        return json.dumps(status, separators=(",", ":")).encode()
    return b"" if status["status"] == "Success" else str(status["message"]).encode()

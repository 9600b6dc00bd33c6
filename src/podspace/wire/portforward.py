"""Port-forward: which two SPDY streams make one forwarded connection.

Used by ``streaming.forward``. The client opens an ``error`` and a ``data`` stream for each TCP connection, tied together by a
request id; kubectl opens them in that order, but nothing says so. It must not know sockets.   Source: KEP-4006, kubelet's portforward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podspace.wire import remotecommand
from podspace.wire.protocol import ProtocolError

SPDY_PROTOCOL = "portforward.k8s.io"
WEBSOCKET_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
WEBSOCKET_CHANNEL_PROTOCOLS = (remotecommand.V4, remotecommand.V4_BASE64, remotecommand.UNNAMED)
MAX_UNPAIRED = 1024
MAX_PORTS = 39  # in base64 a channel's number is one character of ASCII from "0" on


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two streams that belong together."""

    request_id: str
    port: int
    data_stream: int
    error_stream: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One stream of a pair: ``kind`` is "data" or "error"."""

    stream_id: int
    kind: str
    request_id: str
    port: int


def parse(stream_id: int, headers: Mapping[str, str]) -> Half:
    """Read a new stream's headers.  Raises: ProtocolError, in the words a kubelet uses; that stream is to be reset, the others live on."""
    kind = headers.get("streamtype", "")
    if not kind:
        raise ProtocolError('"streamType" header is required')
    if kind not in ("data", "error"):
        raise ProtocolError(f'invalid stream type "{kind}"')
    return Half(stream_id=stream_id, kind=kind, request_id=_request_id(stream_id, kind, headers), port=_port(headers.get("port", "")))


def ports(texts: Sequence[str]) -> list[int]:
    """The ports a request names, each text one or several with commas between.  Raises: ProtocolError, in the words a kubelet uses."""
    if not texts:
        raise ProtocolError('query parameter "ports" is required')
    named = [part for text in texts for part in text.split(",")]
    if not all(named):
        raise ProtocolError('query parameter "ports" cannot be empty')
    if len(named) > MAX_PORTS:
        raise ProtocolError(f"{len(named)} ports are too many for one connection: {MAX_PORTS} are the most")
    return [_port(part) for part in named]


def greeting(port: int) -> bytes:
    """What each of a port's two channels begins with."""
    return port.to_bytes(2, "little")


def _port(text: str) -> int:
    if not text:
        raise ProtocolError('"port" header is required')
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 0xFFFF):
        raise ProtocolError(f'unable to parse "{text}" as a port')
    if not int(text):
        raise ProtocolError(f'port "{text}" must be > 0')
    return int(text)


def _request_id(stream_id: int, kind: str, headers: Mapping[str, str]) -> str:
    # Clients older than request ids open error and data stream back to back: the error stream's number names the pair.
    return headers.get("requestid") or str(stream_id if kind == "error" else stream_id - 2)


class Pairing:
    """Halves that wait for the other one."""

    def __init__(self) -> None:
        self._waiting: dict[str, Half] = {}

    def add(self, half: Half) -> Pair | None:
        """Return the pair that ``half`` completes, None if it is the first.  Raises: ProtocolError (a second stream of the same kind)."""
        other = self._waiting.get(half.request_id)
        if other is None:
            if len(self._waiting) >= MAX_UNPAIRED:
                raise ProtocolError("too many streams without their counterpart")
            self._waiting[half.request_id] = half
            return None
        if other.kind == half.kind:
            raise ProtocolError(f"{half.kind} stream already assigned to request {half.request_id}")
        del self._waiting[half.request_id]
        data, error = (half, other) if half.kind == "data" else (other, half)
        return Pair(request_id=half.request_id, port=data.port, data_stream=data.stream_id, error_stream=error.stream_id)

    def give_up(self, request_id: str) -> Half | None:
        """Forget a half whose counterpart did not come; None if the pair was completed meanwhile."""
        return self._waiting.pop(request_id, None)

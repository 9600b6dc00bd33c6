"""Netlink by hand: one request, its answers, and the attributes inside.

Called by ``rtnetlink`` (links, addresses, routes), ``qdisc`` (traffic control) and ``conntrack``; knows none of them.

Why not pyroute2: importing its ``IPRoute`` costs 130 ms and 24 MB of a server that should fit in 120 MB, and it wraps a socket
pair and an event loop around what is one ``send`` and one ``recv``. A dozen messages do not need that.

Everything raises ``OSError`` with the kernel's errno and what was asked for as its filename. Source: netlink(7).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType

NETLINK_ROUTE = 0
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE, NLM_F_REPLACE = 0x1, 0x4, 0x300, 0x200, 0x400, 0x100
NLA_F_NESTED = 0x8000

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # nlattr
_RECEIVE_BYTES = 1 << 17


class Netlink:
    """A netlink socket, in whichever network namespace it was opened. Not for two threads at once."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        self._socket = connection or open_socket()
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, kind: int, flags: int, body: bytes, what: str) -> list[bytes]:
        """Send one request; return the bodies of the answers once it is acknowledged."""
        self._sequence += 1
        flags |= NLM_F_REQUEST | (0 if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_ACK)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        replies: list[bytes] = []
        while True:
            for reply_kind, reply in _messages(self._socket.recv(_RECEIVE_BYTES)):
                if reply_kind not in (NLMSG_ERROR, NLMSG_DONE):
                    replies.append(reply)
                    continue
                number = -int.from_bytes(reply[:4], "little", signed=True) if reply_kind == NLMSG_ERROR else 0
                if number:
                    raise OSError(number, os.strerror(number), what)
                return replies


def open_socket(protocol: int = NETLINK_ROUTE) -> socket.socket:
    """A netlink socket in the calling thread's network namespace."""
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    connection.bind((0, 0))
    return connection


def attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def nested(kind: int, data: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, data)


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message's body, which begin at ``offset``, or of a nested attribute."""
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & ~NLA_F_NESTED, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3

"""The few rtnetlink messages a Pod's network needs, written by hand.

Called by ``network``. Knows links, addresses and routes; not bridges-for-Pods, subnets or sandboxes.

Why not pyroute2: importing its ``IPRoute`` costs 130 ms and 24 MB of a server that should fit in 120 MB, and it wraps a socket
pair and an event loop around what is one ``send`` and one ``recv``. Eight messages do not need that.

Everything raises ``OSError`` with the kernel's errno and what was asked for as its filename.
Source: rtnetlink(7), netlink(7), linux/if_link.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

NETLINK_ROUTE = 0
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE, NLM_F_REPLACE = 0x1, 0x4, 0x300, 0x200, 0x400, 0x100
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_PID = 1, 3, 4, 10, 18, 19
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
IFF_UP = 0x1
NLA_F_NESTED = 0x8000
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1

HEADER = struct.Struct("=IHHII")  # nlmsghdr
LINK = struct.Struct("=BxHiII")  # ifinfomsg
ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg
ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg
ATTRIBUTE = struct.Struct("=HH")  # nlattr
RECEIVE_BYTES = 1 << 17

Network = ipaddress.IPv4Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface. ``kind`` is "veth", "bridge", ... or "" for hardware; ``master`` the index of its bridge or 0."""

    index: int
    name: str
    kind: str
    master: int
    mtu: int
    up: bool


class Route:
    """A NETLINK_ROUTE socket, in whichever network namespace it was opened. Not for two threads at once."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        self._socket = connection or open_socket()
        self._sequence = 0

    def __enter__(self) -> Route:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def add_bridge(self, name: str, *, mac: bytes) -> None:
        """Make a bridge and bring it up. The MAC is given, else a bridge takes the lowest of its ports' and changes it with them."""
        info = _nested(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "bridge"))
        body = _link(0, up=True) + _text(IFLA_IFNAME, name) + _attribute(IFLA_ADDRESS, mac) + info
        self._ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"bridge {name}")

    def add_veth(self, name: str, *, master: int, mtu: int, peer: str, peer_pid: int, peer_mac: bytes) -> None:
        """Make a veth pair: this end up and in the bridge ``master``, the other already in the netns of ``peer_pid``, still down.

        The kernel refuses to bring it up here (ENOTCONN): while it is made it does not know its peer yet.
        """
        other = _link(0) + _text(IFLA_IFNAME, peer) + _attribute(IFLA_ADDRESS, peer_mac)
        other += _number(IFLA_NET_NS_PID, peer_pid) + _number(IFLA_MTU, mtu)
        info = _text(IFLA_INFO_KIND, "veth") + _nested(IFLA_INFO_DATA, _nested(VETH_INFO_PEER, other))
        body = _link(0, up=True) + _text(IFLA_IFNAME, name) + _number(IFLA_MTU, mtu) + _number(IFLA_MASTER, master)
        self._ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + _nested(IFLA_LINKINFO, info), f"veth {name}")

    def enslave(self, index: int, master: int) -> None:
        """Put a link into a bridge, and bring it up."""
        self._ask(RTM_NEWLINK, 0, _link(index, up=True) + _number(IFLA_MASTER, master), f"link {index}")

    def set_up(self, index: int) -> None:
        self._ask(RTM_NEWLINK, 0, _link(index, up=True), f"link {index}")

    def delete_link(self, name: str) -> None:
        """Raises: OSError ENODEV when there is none. Waits for the kernel to let go of it, some milliseconds."""
        self._ask(RTM_DELLINK, 0, _link(0) + _text(IFLA_IFNAME, name), f"link {name}")

    def link(self, name: str) -> Link | None:
        """Look one interface up by its name."""
        try:
            replies = self._ask(RTM_GETLINK, 0, _link(0) + _text(IFLA_IFNAME, name), f"link {name}")
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _parse_link(replies[0])

    def links(self) -> list[Link]:
        return [_parse_link(body) for body in self._ask(RTM_GETLINK, NLM_F_DUMP, _link(0), "links")]

    def add_address(self, index: int, interface: ipaddress.IPv4Interface) -> None:
        """Give a link an address with its prefix. Having it already is fine."""
        ip, network = interface.ip.packed, interface.network
        body = ADDRESS.pack(socket.AF_INET, network.prefixlen, 0, 0, index)
        body += _attribute(IFA_LOCAL, ip) + _attribute(IFA_ADDRESS, ip) + _attribute(IFA_BROADCAST, network.broadcast_address.packed)
        self._ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, f"address {interface} on link {index}")

    def addresses(self) -> list[tuple[int, ipaddress.IPv4Interface]]:
        """All IPv4 addresses, each with the index of its link."""
        found = []
        for body in self._ask(RTM_GETADDR, NLM_F_DUMP, ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0), "addresses"):
            _, prefix, _, _, index = ADDRESS.unpack_from(body)
            attributes = dict(_attributes(body, ADDRESS.size))
            packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
            if packed:
                found.append((index, ipaddress.IPv4Interface((packed, prefix))))
        return found

    def add_default_route(self, gateway: ipaddress.IPv4Address) -> None:
        body = ROUTE.pack(socket.AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST, 0)
        self._ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body + _attribute(RTA_GATEWAY, gateway.packed), f"route via {gateway}")

    def routes(self) -> list[tuple[Network, int]]:
        """Destinations of all IPv4 unicast routes with the index of the link they leave by (0 = several). The default is 0.0.0.0/0."""
        found = []
        for body in self._ask(RTM_GETROUTE, NLM_F_DUMP, ROUTE.pack(socket.AF_INET, *(0,) * 8), "routes"):
            _, prefix, _, _, _, _, _, kind, _ = ROUTE.unpack_from(body)
            attributes = dict(_attributes(body, ROUTE.size))
            if kind == RTN_UNICAST:
                oif = int.from_bytes(attributes.get(RTA_OIF, b""), "little")
                found.append((Network((attributes.get(RTA_DST, bytes(4)), prefix)), oif))
        return found

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> list[bytes]:
        """Send one request; return the bodies of the answers once it is acknowledged."""
        self._sequence += 1
        flags |= NLM_F_REQUEST | (0 if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_ACK)
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        replies: list[bytes] = []
        while True:
            for reply_kind, reply in _messages(self._socket.recv(RECEIVE_BYTES)):
                if reply_kind not in (NLMSG_ERROR, NLMSG_DONE):
                    replies.append(reply)
                    continue
                number = -int.from_bytes(reply[:4], "little", signed=True) if reply_kind == NLMSG_ERROR else 0
                if number:
                    raise OSError(number, os.strerror(number), what)
                return replies


def open_socket() -> socket.socket:
    """A NETLINK_ROUTE socket in the calling thread's network namespace."""
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
    connection.bind((0, 0))
    return connection


def _link(index: int, *, up: bool = False) -> bytes:
    flag = IFF_UP if up else 0
    return LINK.pack(socket.AF_UNSPEC, 0, index, flag, flag)


def _attribute(kind: int, data: bytes) -> bytes:
    length = ATTRIBUTE.size + len(data)
    return ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack("=I", number))


def _nested(kind: int, data: bytes) -> bytes:
    return _attribute(kind | NLA_F_NESTED, data)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        yield kind, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            return
        yield kind & ~NLA_F_NESTED, data[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = LINK.unpack_from(body)
    attributes = dict(_attributes(body, LINK.size))
    info = dict(_attributes(attributes.get(IFLA_LINKINFO, b"")))
    return Link(
        index=index,
        name=attributes.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(),
        kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        master=int.from_bytes(attributes.get(IFLA_MASTER, b""), "little"),
        mtu=int.from_bytes(attributes.get(IFLA_MTU, b""), "little"),
        up=bool(flags & IFF_UP),
    )

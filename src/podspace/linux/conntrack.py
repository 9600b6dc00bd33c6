"""Making the kernel forget flows of UDP, by hand-written ctnetlink: list, pick, delete.

Called by ``network.hostports``: address translation is decided by a flow's first packet, and a client that sends again and again keeps
its flow, and so the old decision, alive. Source: linux/netfilter/nfnetlink_conntrack.h; portmap's deletion of stale flows.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from podspace.linux import netlink

NETLINK_NETFILTER = 12
CTNETLINK = 1 << 8  # NFNL_SUBSYS_CTNETLINK
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 2, 1, 3
_GENERIC = struct.Struct("=BBH")  # nfgenmsg


def forget_udp(ports: frozenset[int]) -> int:
    """Delete the flows whose first packet went to one of these ports; return how many. Raises: OSError."""
    found = 0
    for family in (socket.AF_INET, socket.AF_INET6):
        with netlink.Netlink(netlink.open_socket(NETLINK_NETFILTER)) as kernel:
            body = _GENERIC.pack(family, 0, 0)
            for flow in kernel.ask(CTNETLINK | IPCTNL_MSG_CT_GET, netlink.NLM_F_DUMP, body, "flows"):
                origin = dict(netlink.attributes(flow, _GENERIC.size)).get(CTA_TUPLE_ORIG)
                if origin is None or destination(origin) not in ports:
                    continue
                found += _delete(kernel, body + netlink.nested(CTA_TUPLE_ORIG, origin))
    return found


def destination(tuple_: bytes) -> int | None:
    """The port a flow of UDP goes to, None for another protocol."""
    protocol = dict(_members(tuple_, CTA_TUPLE_PROTO))
    if protocol.get(CTA_PROTO_NUM) != bytes((socket.IPPROTO_UDP,)):
        return None
    return int.from_bytes(protocol.get(CTA_PROTO_DST_PORT, b""), "big")


def _members(nested: bytes, kind: int) -> Iterator[tuple[int, bytes]]:
    yield from netlink.attributes(dict(netlink.attributes(nested)).get(kind, b""))


def _delete(kernel: netlink.Netlink, body: bytes) -> bool:
    try:
        kernel.ask(CTNETLINK | IPCTNL_MSG_CT_DELETE, 0, body, "flow")
    except OSError as error:
        if error.errno != errno.ENOENT:  # it ended by itself meanwhile
            raise
        return False
    return True

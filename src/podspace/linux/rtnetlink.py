"""The few rtnetlink messages a Pod's network needs: links, addresses and routes.

Called by ``network``. Knows no bridges-for-Pods, subnets or sandboxes.
Source: rtnetlink(7), linux/if_link.h, linux/rtnetlink.h, linux/if_bridge.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from podspace.linux import netlink

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO, IFLA_LINKINFO, IFLA_NET_NS_PID = 1, 3, 4, 10, 12, 18, 19
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
IFF_UP = 0x1
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1

_LINK = struct.Struct("=BxHiII")  # ifinfomsg
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface. ``kind`` is "veth", "bridge", ... or "" for hardware; ``master`` the index of its bridge or 0."""

    index: int
    name: str
    kind: str
    master: int
    mtu: int
    up: bool


class Route(netlink.Netlink):
    """A NETLINK_ROUTE socket, in whichever network namespace it was opened. Not for two threads at once."""

    def __enter__(self) -> Route:
        return self

    def add_bridge(self, name: str, *, mac: bytes) -> None:
        """Make a bridge and bring it up. The MAC is given, else a bridge takes the lowest of its ports' and changes it with them."""
        info = netlink.nested(IFLA_LINKINFO, netlink.text(IFLA_INFO_KIND, "bridge"))
        body = _link(0, up=True) + netlink.text(IFLA_IFNAME, name) + netlink.attribute(IFLA_ADDRESS, mac) + info
        self.ask(RTM_NEWLINK, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body, f"bridge {name}")

    def add_veth(self, name: str, *, master: int, mtu: int, peer: str, peer_pid: int, peer_mac: bytes) -> None:
        """Make a veth pair: this end up and in the bridge ``master``, the other already in the netns of ``peer_pid``, still down.

        The kernel refuses to bring it up here (ENOTCONN): while it is made it does not know its peer yet.
        """
        other = _link(0) + netlink.text(IFLA_IFNAME, peer) + netlink.attribute(IFLA_ADDRESS, peer_mac)
        other += netlink.number(IFLA_NET_NS_PID, peer_pid) + netlink.number(IFLA_MTU, mtu)
        info = netlink.text(IFLA_INFO_KIND, "veth") + netlink.nested(IFLA_INFO_DATA, netlink.nested(VETH_INFO_PEER, other))
        body = _link(0, up=True) + netlink.text(IFLA_IFNAME, name) + netlink.number(IFLA_MTU, mtu) + netlink.number(IFLA_MASTER, master)
        self.ask(RTM_NEWLINK, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body + netlink.nested(IFLA_LINKINFO, info), f"veth {name}")

    def add_ifb(self, name: str) -> None:
        """Make an intermediate functional block and bring it up: what is redirected to it passes its queue."""
        body = _link(0, up=True) + netlink.text(IFLA_IFNAME, name) + netlink.nested(IFLA_LINKINFO, netlink.text(IFLA_INFO_KIND, "ifb"))
        self.ask(RTM_NEWLINK, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body, f"ifb {name}")

    def enslave(self, index: int, master: int) -> None:
        """Put a link into a bridge, and bring it up."""
        self.ask(RTM_NEWLINK, 0, _link(index, up=True) + netlink.number(IFLA_MASTER, master), f"link {index}")

    def reflect(self, index: int) -> None:
        """Let a bridge send a port's frames back to it (hairpin), for a Pod that calls itself by a port of the host."""
        body = _LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0) + netlink.nested(IFLA_PROTINFO, netlink.attribute(IFLA_BRPORT_MODE, b"\1"))
        self.ask(RTM_SETLINK, 0, body, f"bridge port {index}")

    def set_up(self, index: int) -> None:
        self.ask(RTM_NEWLINK, 0, _link(index, up=True), f"link {index}")

    def delete_link(self, name: str) -> None:
        """Raises: OSError ENODEV when there is none. Waits for the kernel to let go of it, some milliseconds."""
        self.ask(RTM_DELLINK, 0, _link(0) + netlink.text(IFLA_IFNAME, name), f"link {name}")

    def link(self, name: str) -> Link | None:
        """Look one interface up by its name."""
        try:
            replies = self.ask(RTM_GETLINK, 0, _link(0) + netlink.text(IFLA_IFNAME, name), f"link {name}")
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _parse_link(replies[0])

    def links(self) -> list[Link]:
        return [_parse_link(body) for body in self.ask(RTM_GETLINK, netlink.NLM_F_DUMP, _link(0), "links")]

    def add_address(self, index: int, interface: Interface) -> None:
        """Give a link an address with its prefix. Having it already is fine. An IPv6 one can be used at once: nobody else is asked."""
        ip, network = interface.ip.packed, interface.network
        family, flags = (socket.AF_INET, 0) if interface.version == 4 else (socket.AF_INET6, IFA_F_NODAD)
        body = _ADDRESS.pack(family, network.prefixlen, flags, 0, index)
        body += netlink.attribute(IFA_LOCAL, ip) + netlink.attribute(IFA_ADDRESS, ip)
        if interface.version == 4:
            body += netlink.attribute(IFA_BROADCAST, network.broadcast_address.packed)
        self.ask(RTM_NEWADDR, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE, body, f"address {interface} on link {index}")

    def addresses(self) -> list[tuple[int, Interface]]:
        """All addresses, each with the index of its link."""
        found: list[tuple[int, Interface]] = []
        for body in self.ask(RTM_GETADDR, netlink.NLM_F_DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0), "addresses"):
            family, prefix, _, _, index = _ADDRESS.unpack_from(body)
            attributes = dict(netlink.attributes(body, _ADDRESS.size))
            packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
            if packed and family in (socket.AF_INET, socket.AF_INET6):
                found.append((index, ipaddress.ip_interface((packed, prefix))))
        return found

    def add_default_route(self, gateway: Address) -> None:
        family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
        body = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST, 0)
        body += netlink.attribute(RTA_GATEWAY, gateway.packed)
        self.ask(RTM_NEWROUTE, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE, body, f"route via {gateway}")

    def routes(self) -> list[tuple[Network, int]]:
        """Destinations of all unicast routes with the index of the link they leave by (0 = several). A default is 0.0.0.0/0 or ::/0."""
        found: list[tuple[Network, int]] = []
        for body in self.ask(RTM_GETROUTE, netlink.NLM_F_DUMP, _ROUTE.pack(socket.AF_UNSPEC, *(0,) * 8), "routes"):
            family, prefix, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(body)
            if kind != RTN_UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
                continue
            attributes = dict(netlink.attributes(body, _ROUTE.size))
            nowhere = bytes(4 if family == socket.AF_INET else 16)
            oif = int.from_bytes(attributes.get(RTA_OIF, b""), "little")
            found.append((ipaddress.ip_network((attributes.get(RTA_DST, nowhere), prefix)), oif))
        return found


def _link(index: int, *, up: bool = False) -> bytes:
    flag = IFF_UP if up else 0
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flag, flag)


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    attributes = dict(netlink.attributes(body, _LINK.size))
    info = dict(netlink.attributes(attributes.get(IFLA_LINKINFO, b"")))
    return Link(
        index=index,
        name=attributes.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(),
        kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        master=int.from_bytes(attributes.get(IFLA_MASTER, b""), "little"),
        mtu=int.from_bytes(attributes.get(IFLA_MTU, b""), "little"),
        up=bool(flags & IFF_UP),
    )

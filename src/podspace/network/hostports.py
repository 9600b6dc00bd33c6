"""Ports of the host that lead into sandboxes: one nftables table of our own, written anew as a whole whenever one comes or goes.

Called by ``bridge``. Which sandbox has which port is the engine's to remember; a new server tells it again. Only the built-in network
has these; with CNI the portmap plugin does the same. Source: nft(8); containernetworking portmap for what must work (127.0.0.1 too).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podspace import errors
from podspace.network import masquerade

log = logging.getLogger(__name__)
_ANY = frozenset({"", "0.0.0.0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """``protocol``: tcp, udp or sctp. ``host_ip``: "" = every address of the host."""

    protocol: str
    host_port: int
    container_port: int
    host_ip: str = ""

    def clashes(self, other: HostPort) -> bool:
        """Whether both cannot be had."""
        if (self.protocol, self.host_port) != (other.protocol, other.host_port):
            return False
        return self.host_ip == other.host_ip or self.host_ip in _ANY or other.host_ip in _ANY


Published = Mapping[str, tuple[str, tuple[HostPort, ...]]]


class HostPorts:
    """The table of one server."""

    def __init__(self, table: str, bridge: str) -> None:
        self._table = f"{table}_ports"
        self._bridge = bridge
        self._published: dict[str, tuple[str, tuple[HostPort, ...]]] = {}
        self._changing = asyncio.Lock()

    async def publish(self, sandbox_id: str, address: str, wanted: Sequence[HostPort]) -> None:
        """Idempotent. Raises: Unavailable (taken by another sandbox), Unsupported (no nft), ToolError."""
        _refuse_clashes(sandbox_id, wanted, self._published)
        self._published[sandbox_id] = (address, tuple(wanted))
        try:
            await self._apply()
        except BaseException:
            self._published.pop(sandbox_id, None)
            raise

    async def withdraw(self, sandbox_id: str) -> None:
        """Not published: fine."""
        if self._published.pop(sandbox_id, None) is not None:
            await self._apply()

    async def remove(self) -> None:
        """Take the table away, if it is there."""
        await masquerade.remove(self._table)

    async def _apply(self) -> None:
        async with self._changing:
            if not self._published:
                await self.remove()
                return
            await masquerade.load(ruleset(self._table, self._bridge, self._published))
            Path(f"/proc/sys/net/ipv4/conf/{self._bridge}/route_localnet").write_text("1")  # 127.0.0.1:port is to work


def _refuse_clashes(sandbox_id: str, wanted: Sequence[HostPort], published: Published) -> None:
    for other, (_, ports) in published.items():
        for port in wanted if other != sandbox_id else ():
            if any(port.clashes(taken) for taken in ports):
                raise errors.Unavailable(f"host port {port.host_port}/{port.protocol} is taken by sandbox {other}")


def ruleset(table: str, bridge: str, published: Published) -> str:
    """The text for ``nft -f -``. What comes from the host's own loopback needs another source to find its way back."""
    rules = "\n".join(f"    {_rule(address, port)}" for address, ports in published.values() for port in ports)
    return f"""\
add table ip {table}
delete table ip {table}
table ip {table} {{
  chain ports {{
{rules}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump ports
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
  }}
}}
"""


def _rule(address: str, port: HostPort) -> str:
    host = "" if port.host_ip in _ANY else f"ip daddr {ipaddress.IPv4Address(port.host_ip)} "
    return f"{host}{port.protocol} dport {port.host_port} dnat to {ipaddress.IPv4Address(address)}:{port.container_port}"

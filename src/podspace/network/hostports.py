"""Ports of the host that lead into sandboxes: nftables tables of our own, written anew as a whole whenever a port comes or goes.

Called by ``bridge``. Which sandbox has which port is the engine's to remember; a new server tells it again. Only the built-in network
has these; with CNI the portmap plugin does the same. Source: nft(8); containernetworking portmap for what must work.

Three things beside the translation itself. What a Pod or the host's own loopback sends to such a port gets another source, or the answer
would not come back this way. Flows of UDP that began before the port was there would go on past it, so they are forgotten. And 127.0.0.1
works only with ``route_localnet``, which by itself would show the host's own loopback to every Pod (CVE-2020-8558): a rule keeps it shut.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from podspace import errors
from podspace.linux import conntrack
from podspace.network import masquerade
from podspace.network.attachment import HostPort
from podspace.network.subnet import Network

log = logging.getLogger(__name__)
_LOCALNET = "/proc/sys/net/ipv4/conf/{}/route_localnet"
_FAMILY = {4: "ip", 6: "ip6"}
_LOOPBACK6 = "::1"

Published = Mapping[str, tuple[Sequence[str], tuple[HostPort, ...]]]


class HostPorts:
    """The tables of one server, one for each IP family that has Pods."""

    def __init__(self, table: str, bridge: str) -> None:
        self._table = f"{table}_ports"
        self._bridge = bridge
        self._networks: Sequence[Network] = ()
        self._published: dict[str, tuple[Sequence[str], tuple[HostPort, ...]]] = {}
        self._changing = asyncio.Lock()
        self._asked = self._applied = 0  # how many changes there were, and how many of them the kernel has

    def serve(self, networks: Sequence[Network]) -> None:
        """Say which networks the Pods are in, before the first ``publish``."""
        self._networks = networks

    async def publish(self, sandbox_id: str, addresses: Sequence[str], wanted: tuple[HostPort, ...]) -> None:
        """Idempotent. Raises: Unavailable (taken by another sandbox), Unsupported (no nft, no address of that family), ToolError."""
        _refuse_clashes(sandbox_id, wanted, self._published)
        _refuse_families(wanted, addresses)
        self._published[sandbox_id] = (addresses, wanted)
        try:
            await self._apply()
        except BaseException:
            self._published.pop(sandbox_id, None)
            raise
        if ports := frozenset(port.host_port for port in wanted if port.protocol == "udp"):
            await asyncio.to_thread(_forget_flows, ports)

    async def withdraw(self, sandbox_id: str) -> None:
        """Not published: fine."""
        if self._published.pop(sandbox_id, None) is not None:
            await self._apply()

    async def restore(self, before: Published) -> None:
        """Begin with what sandboxes had that outlived a former server, and with nothing else of its. Raises: Unsupported, ToolError."""
        self._published = dict(before)
        await self._apply()

    def open_loopback(self) -> None:
        """Let 127.0.0.1 work again where the bridge is a new one."""
        if self._published:
            Path(_LOCALNET.format(self._bridge)).write_text("1")

    async def remove(self) -> None:
        """Take the tables away, if they are there; the loopback is shut before its guard goes."""
        with contextlib.suppress(FileNotFoundError):
            Path(_LOCALNET.format(self._bridge)).write_text("0")
        for network in self._networks:
            await masquerade.remove(self._table, _FAMILY[network.version])

    async def _apply(self) -> None:
        """Return once the kernel has what is published now. Many at once wait for one another, and are done by few transactions."""
        self._asked += 1
        mine = self._asked
        async with self._changing:
            if self._applied >= mine:
                return
            asked = self._asked
            await self._load()
            self._applied = asked

    async def _load(self) -> None:
        if not self._published:
            await self.remove()
            return
        # The guard of the host's loopback is in the same transaction, so it is there before the loopback is let through.
        await masquerade.load("".join(ruleset(self._table, self._bridge, network, self._published) for network in self._networks))
        self.open_loopback()


def _refuse_clashes(sandbox_id: str, wanted: Sequence[HostPort], published: Published) -> None:
    for other, (_, ports) in published.items():
        for port in wanted if other != sandbox_id else ():
            if any(port.clashes(taken) for taken in ports):
                raise errors.Unavailable(f"host port {port.host_port}/{port.protocol} is taken by sandbox {other}")


def _refuse_families(wanted: Sequence[HostPort], addresses: Sequence[str]) -> None:
    present = {ipaddress.ip_address(address).version for address in addresses}
    for port in wanted:
        if port.host_ip == _LOOPBACK6:
            raise errors.Unsupported(
                f"host port {port.host_port}/{port.protocol} at ::1: the kernel lets nothing of IPv6's loopback out of it"
            )
        if not port.families & present:
            raise errors.Unsupported(
                f"host port {port.host_port}/{port.protocol} at {port.host_ip}: the network of Pods has no IPv{max(port.families)}"
            )


def _forget_flows(ports: frozenset[int]) -> None:
    try:
        conntrack.forget_udp(ports)
    except OSError as error:
        log.warning("clients that sent to UDP ports %s before they led to a Pod may have to try again: %s", sorted(ports), error)


def ruleset(table: str, bridge: str, network: Network, published: Published) -> str:
    """The text for ``nft -f -``, for the network's family."""
    family = _FAMILY[network.version]
    rules = "\n".join(f"    {rule}" for rule in _rules(network.version, published))
    text = f"""\
add table {family} {table}
delete table {family} {table}
table {family} {table} {{
  chain ports {{
{rules}
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump ports
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump ports
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ct status dnat {family} saddr {network} oifname "{bridge}" masquerade
  {"  ip saddr 127.0.0.0/8 oifname " + f'"{bridge}"' + " masquerade" if network.version == 4 else ""}
  }}
"""
    return text + (_GUARD.format(bridge=bridge) if network.version == 4 else "") + "}\n"


_GUARD = """\
  chain guard {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
"""


def _rules(version: int, published: Published) -> Iterator[str]:
    for addresses, ports in published.values():
        address = next((a for a in map(ipaddress.ip_address, addresses) if a.version == version), None)
        yield from (_rule(address, port) for port in ports if address is not None and version in port.families)


def _rule(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: HostPort) -> str:
    family = _FAMILY[address.version]
    host = "" if port.on_every_address else f"{family} daddr {ipaddress.ip_address(port.host_ip)} "
    inside = f"[{address}]" if address.version == 6 else str(address)
    return f"{host}{port.protocol} dport {port.host_port} dnat to {inside}:{port.container_port}"

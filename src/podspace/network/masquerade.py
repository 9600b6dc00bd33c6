"""Lets Pods reach the world: forwarding on, and one nftables table of our own per IP family that rewrites their source address.

Called by ``bridge`` at set-up and tear-down, never while a Pod starts. Nobody else's table or chain is touched.
Source: nft(8); the add-delete-add idiom makes one transaction of "replace, whether or not it is there".
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from podspace import errors
from podspace.aio import process
from podspace.network.subnet import Network

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
CONF6 = Path("/proc/sys/net/ipv6/conf")
NFT = "nft"
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
_FAMILY = {4: "ip", 6: "ip6"}

log = logging.getLogger(__name__)


def table_name(instance: str) -> str:
    return f"podspace_{instance}" if instance else "podspace"


def ruleset(table: str, bridge: str, network: Network) -> str:
    """The text for ``nft -f -``. Multicast keeps its source, as routers expect."""
    family = _FAMILY[network.version]
    return f"""\
add table {family} {table}
delete table {family} {table}
table {family} {table} {{
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    {family} saddr {network} {family} daddr != {_MULTICAST[network.version]} oifname != "{bridge}" masquerade
  }}
}}
"""


def enable_forwarding(*, ipv6: bool) -> None:
    """Turn forwarding on if it is off; a machine that forbids it still gets Pods, which then reach only each other and the host."""
    _switch_on(FORWARDING)
    if ipv6 and _read(CONF6 / "all/forwarding") != "1":
        _keep_listening_to_routers()
        _switch_on(CONF6 / "all/forwarding")


def _keep_listening_to_routers() -> None:
    """A kernel that forwards no longer takes its own default route from a router, unless told so for the interface.

    Source: linux Documentation/networking/ip-sysctl.rst, accept_ra.
    """
    for file in CONF6.glob("*/accept_ra"):
        if file.parent.name not in ("all", "default", "lo") and _read(file) == "1":
            file.write_text("2")


def _switch_on(file: Path) -> None:
    try:
        if _read(file) != "1":
            file.write_text("1")
    except OSError as error:
        log.warning("Pods will not reach other machines: cannot set %s: %s", file, error.strerror)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


async def install(table: str, bridge: str, networks: Sequence[Network]) -> list[Network]:
    """Load the tables; return the networks that have theirs. What the machine cannot (some have no translation for IPv6) is logged."""
    try:
        await load("".join(ruleset(table, bridge, network) for network in networks))
    except errors.Unsupported as error:
        log.warning("Pods will not reach other machines: %s and start again", error)
        return []
    except errors.ToolError as error:
        if len(networks) > 1:
            return [loaded for network in networks for loaded in await install(table, bridge, [network])]
        log.warning("Pods will not reach other machines by IPv%d: %s", networks[0].version, error)
        return []
    return list(networks)


async def load(rules: str) -> None:
    """Raises: Unsupported (no nft), ToolError."""
    if shutil.which(NFT, path=process.fixed_environment()["PATH"]) is None:
        raise errors.Unsupported("no nft program: install the package nftables")
    (await process.run([NFT, "-f", "-"], stdin=rules.encode())).check()


async def remove(table: str, family: str = "ip") -> None:
    """Take the table away, if it is there."""
    if shutil.which(NFT, path=process.fixed_environment()["PATH"]) is not None:
        await load(f"add table {family} {table}\ndelete table {family} {table}\n")

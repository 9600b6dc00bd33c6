"""Lets Pods reach the world: forwarding on, and one nftables table of our own that rewrites their source address.

Called by ``bridge`` at set-up and tear-down, never while a Pod starts. Nobody else's table or chain is touched.
Source: nft(8); the add-delete-add idiom makes one transaction of "replace, whether or not it is there".
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import shutil
from pathlib import Path

from podspace import errors

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
NFT = "nft"

log = logging.getLogger(__name__)


def table_name(instance: str) -> str:
    return f"podspace_{instance}" if instance else "podspace"


def ruleset(table: str, bridge: str, network: ipaddress.IPv4Network) -> str:
    """The text for ``nft -f -``. Multicast keeps its source, as routers expect."""
    return f"""\
add table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {network} ip daddr != 224.0.0.0/4 oifname != "{bridge}" masquerade
  }}
}}
"""


def enable_forwarding() -> None:
    """Turn IPv4 forwarding on if it is off; a machine that forbids it still gets Pods, which then reach only each other and the host."""
    try:
        if FORWARDING.read_text().strip() != "1":
            FORWARDING.write_text("1")
    except OSError as error:
        log.warning("Pods will not reach other machines: cannot set %s: %s", FORWARDING, error.strerror)


async def install(table: str, bridge: str, network: ipaddress.IPv4Network) -> bool:
    """Load the table; False, with a warning in the log, where the machine cannot."""
    if shutil.which(NFT) is None:
        log.warning("Pods will not reach other machines: no nft program; install the package nftables and start again")
        return False
    try:
        await _nft(ruleset(table, bridge, network))
    except errors.ToolError as error:
        log.warning("Pods will not reach other machines: %s", error)
        return False
    return True


async def load(rules: str) -> None:
    """Raises: Unsupported (no nft), ToolError."""
    if shutil.which(NFT) is None:
        raise errors.Unsupported("no nft program: install the package nftables")
    await _nft(rules)


async def remove(table: str) -> None:
    """Take the table away, if it is there."""
    if shutil.which(NFT) is not None:
        await _nft(f"add table ip {table}\ndelete table ip {table}\n")


async def _nft(commands: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(NFT, "-f", "-", stdin=pipe, stdout=asyncio.subprocess.DEVNULL, stderr=pipe)
    _, stderr = await process.communicate(commands.encode())
    if process.returncode:
        raise errors.ToolError([NFT, "-f", "-"], process.returncode, stderr.decode(errors="replace"))

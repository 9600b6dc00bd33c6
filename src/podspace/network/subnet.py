"""Which addresses this machine's Pods get: chosen once, then kept in a file.

Called by ``bridge``. Pure but for that file: the routes and addresses in use are passed in.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from podspace import errors

POOL = ipaddress.IPv4Network("10.74.0.0/16")  # nobody's habit: podman has 10.88, CRI-O 10.85, k3s 10.42, flannel 10.244
SMALLEST_PREFIX = 29


def parse(text: str) -> ipaddress.IPv4Network:
    """What the user gave as --pod-cidr. Raises: errors.BadRequest."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise errors.BadRequest(f"--pod-cidr {text}: {error}; give an IPv4 network such as 10.74.5.0/24") from None
    if network.prefixlen > SMALLEST_PREFIX:
        raise errors.BadRequest(f"--pod-cidr {text}: too small, /{SMALLEST_PREFIX} is the least (gateway and five Pods)")
    return network


def choose(used: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The first /24 of the pool that overlaps nothing in ``used``; the default route counts for nothing.

    Raises: errors.Unavailable when there is none.
    """
    taken = [network for network in used if network.prefixlen > 0]
    for candidate in POOL.subnets(new_prefix=24):
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise errors.Unavailable(f"every /24 of {POOL} overlaps a route of this machine: choose a network with --pod-cidr")


def load(path: Path) -> ipaddress.IPv4Network | None:
    """What an earlier server chose, None if it never did."""
    try:
        return ipaddress.IPv4Network(path.read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


def save(path: Path, network: ipaddress.IPv4Network) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{network}\n")
    temporary.replace(path)

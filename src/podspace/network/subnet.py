"""Which addresses this machine's Pods get: chosen once, then kept in a file.

Called by ``bridge``. Pure but for that file: the routes and addresses in use are passed in. With IPv6 a Pod has the same place in both
networks: 10.74.0.7 is also the seventh of the IPv6 one, so that one book of addresses serves both.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from podspace import errors

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

POOL = ipaddress.IPv4Network("10.74.0.0/16")  # nobody's habit: podman has 10.88, CRI-O 10.85, k3s 10.42, flannel 10.244
SMALLEST_PREFIX = 29
_EXAMPLE = "give an IPv4 network such as 10.74.5.0/24, and after a comma an IPv6 one if Pods are to have such addresses too"


def parse(text: str) -> tuple[Network, ...]:
    """What the user gave as --pod-cidr: an IPv4 network, and an IPv6 one with room for as many. Raises: errors.BadRequest."""
    try:
        networks = [ipaddress.ip_network(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise errors.BadRequest(f"--pod-cidr {text}: {error}; {_EXAMPLE}") from None
    first = networks[0]
    if not isinstance(first, ipaddress.IPv4Network) or [network.version for network in networks] not in ([4], [4, 6]):
        raise errors.BadRequest(f"--pod-cidr {text}: {_EXAMPLE}")
    if first.prefixlen > SMALLEST_PREFIX:
        raise errors.BadRequest(f"--pod-cidr {text}: too small, /{SMALLEST_PREFIX} is the least (gateway and five Pods)")
    if any(network.num_addresses < first.num_addresses for network in networks):
        raise errors.BadRequest(f"--pod-cidr {text}: the IPv6 network must have room for as many Pods as the IPv4 one")
    return tuple(networks)


def choose(used: Iterable[Network]) -> ipaddress.IPv4Network:
    """The first /24 of the pool that overlaps nothing in ``used``; the default route counts for nothing.

    Raises: errors.Unavailable when there is none.
    """
    taken = [network for network in used if network.prefixlen > 0]
    for candidate in POOL.subnets(new_prefix=24):
        if not any(overlap(candidate, network) for network in taken):
            return candidate
    raise errors.Unavailable(f"every /24 of {POOL} overlaps a route of this machine: choose a network with --pod-cidr")


def choose_unique_local() -> ipaddress.IPv6Network:
    """A /64 that nobody else has, by chance. Source: RFC 4193, 3.2."""
    return ipaddress.IPv6Network((0xFD << 120 | secrets.randbits(56) << 64, 64))


def overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def twin(address: ipaddress.IPv4Address, home: ipaddress.IPv4Network, network: Network) -> Address:
    """The address with the same place in ``network`` as ``address`` has in ``home``."""
    return network.network_address + (int(address) - int(home.network_address))


def load(path: Path) -> tuple[Network, ...] | None:
    """What an earlier server chose, None if it never did."""
    try:
        return parse(path.read_text().strip())
    except (FileNotFoundError, errors.BadRequest):
        return None


def save(path: Path, networks: Sequence[Network]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{','.join(map(str, networks))}\n")
    temporary.replace(path)

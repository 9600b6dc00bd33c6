"""What a sandbox asks of its network, whichever network that is. Made by ``runtime``, taken by every implementation of its port.

Knows neither Pods nor how anything is done. ``Bandwidth`` comes from annotations, in the way every CNI runtime reads them.
Source: kubernetes.io/docs network-plugins (bandwidth annotations); kubelet pkg/util/bandwidth.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from podspace import errors
from podspace.kube import quantity

INGRESS, EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"
_LEAST_BITS, _MOST_BITS = 1_000, 10**15
_EVERY = {"": frozenset({4, 6}), "0.0.0.0": frozenset({4}), "::": frozenset({6})}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """``protocol``: tcp, udp or sctp. ``host_ip``: "" = every address of the host, 0.0.0.0 = every IPv4 one, :: = every IPv6 one."""

    protocol: str
    host_port: int
    container_port: int
    host_ip: str = ""

    @property
    def families(self) -> frozenset[int]:
        """4, 6 or both."""
        return _EVERY.get(self.host_ip) or frozenset({ipaddress.ip_address(self.host_ip).version})

    @property
    def on_every_address(self) -> bool:
        return self.host_ip in _EVERY

    def clashes(self, other: HostPort) -> bool:
        """Whether both cannot be had."""
        if (self.protocol, self.host_port) != (other.protocol, other.host_port) or not self.families & other.families:
            return False
        return self.host_ip == other.host_ip or self.on_every_address or other.on_every_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """Bits per second, 0 = as much as there is. ``ingress`` is what comes to the sandbox."""

    ingress_bits: int = 0
    egress_bits: int = 0

    def __bool__(self) -> bool:
        return bool(self.ingress_bits or self.egress_bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One sandbox. ``pid``: of its /pause, the way into its network namespace."""

    sandbox_id: str
    pid: int
    owner: str = "node"  # the front door whose it is
    namespace: str = ""
    name: str = ""
    uid: str = ""
    host_ports: tuple[HostPort, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    dns_servers: tuple[str, ...] = ()
    dns_searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    cgroup: str = ""

    def bandwidth(self) -> Bandwidth:
        """Raises: BadRequest, in a kubelet's words."""
        return Bandwidth(ingress_bits=_bits(self.annotations, INGRESS), egress_bits=_bits(self.annotations, EGRESS))


def _bits(annotations: Mapping[str, str], name: str) -> int:
    text = annotations.get(name)
    if text is None:
        return 0
    try:
        bits = quantity.parse(text).value
    except ValueError as error:
        raise errors.BadRequest(f"annotation {name}: {error}") from None
    if bits < _LEAST_BITS:
        raise errors.BadRequest(f"annotation {name}: resource is unreasonably small (< 1kbit)")
    if bits > _MOST_BITS:
        raise errors.BadRequest(f"annotation {name}: resource is unreasonably large (> 1Pbit)")
    return bits

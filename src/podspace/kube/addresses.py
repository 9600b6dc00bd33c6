"""IP addresses in fields: what is refused, and what is only warned about.

Called by ``validation_pod``, ``validation_services`` and ``validation_warnings``. Pure.
Source: apimachinery util/validation/ip.go with StrictIPCIDRValidation, which is on in 1.36.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

_LONGEST = 100  # of an IPv6 address with an IPv4 one in it 45, and some for zeros: what is longer takes the pattern below for ever
_IPV4_END = re.compile(r"(?:\d+\.){3}\d+$", re.ASCII)
_BAD = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def problem(text: str) -> str:
    """What is wrong with it; "" if nothing is. Leading zeros are octal to some programs."""
    if len(text) > _LONGEST:
        return _BAD
    try:
        found = ipaddress.ip_address("x" if "%" in text else _IPV4_END.sub(_without_zeros, text))
    except ValueError:
        return _BAD
    if _IPV4_END.sub(_without_zeros, text) != text:
        return "must not have leading 0s"
    mapped = isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None
    return "must not be an IPv4-mapped IPv6 address" if mapped else ""


def network_problem(text: str) -> str:
    """The same of ``10.0.0.0/8``."""
    address, slash, bits = text[:_LONGEST].partition("/")
    try:
        found = ipaddress.ip_network(f"{_IPV4_END.sub(_without_zeros, address)}/{int(bits)}" if slash else "x", strict=False)
    except ValueError:
        return "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    if problem(address):
        return "must not have an IPv4-mapped IPv6 address" if ":" in address else "must not have leading 0s in IP or prefix length"
    if bits != str(int(bits)):
        return "must not have leading 0s in IP or prefix length"
    return "" if found.network_address == ipaddress.ip_address(address) else "must not have bits set beyond the prefix length"


def advice(text: str, field: str) -> Iterator[str]:
    """What a Warning header says of a good address that is not spelled as usual."""
    if ":" in text and not problem(text) and str(ipaddress.ip_address(text)) != text:
        yield f'{field}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{ipaddress.ip_address(text)}")'


def _without_zeros(address: re.Match[str]) -> str:
    return ".".join(part.lstrip("0") or "0" for part in address[0].split("."))

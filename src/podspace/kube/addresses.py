"""IP addresses in fields: what is refused, and what is only warned about.

Called by ``validation_pod`` and ``validation_warnings``. Pure.
Source: apimachinery util/validation/ip.go with StrictIPCIDRValidation, which is on in 1.36.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

_IPV4_END = re.compile(r"(?:\d+\.){3}\d+$", re.ASCII)
_BAD = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def problem(text: str) -> str:
    """What is wrong with it; "" if nothing is. Leading zeros are octal to some programs."""
    try:
        found = ipaddress.ip_address("x" if "%" in text else _IPV4_END.sub(_without_zeros, text))
    except ValueError:
        return _BAD
    if _IPV4_END.sub(_without_zeros, text) != text:
        return "must not have leading 0s"
    mapped = isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None
    return "must not be an IPv4-mapped IPv6 address" if mapped else ""


def advice(text: str, field: str) -> Iterator[str]:
    """What a Warning header says of a good address that is not spelled as usual."""
    if ":" in text and not problem(text) and str(ipaddress.ip_address(text)) != text:
        yield f'{field}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{ipaddress.ip_address(text)}")'


def _without_zeros(address: re.Match[str]) -> str:
    return ".".join(part.lstrip("0") or "0" for part in address[0].split("."))

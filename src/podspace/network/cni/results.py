"""Reading a CNI result: the addresses of the sandbox's own interface. Pure. Source: CNI SPEC.md (Section 5); containerd go-cni."""

from __future__ import annotations

import ipaddress

from podspace.kube.json import JSON


def addresses(result: JSON, interface: str) -> tuple[str, ...]:
    """Those of ``interface``, IPv4 first. One that says no interface is the sandbox's. Raises: ValueError."""
    names = [item.get("name") if item.get("sandbox") else None for item in result.get("interfaces") or ()]
    found = []
    for item in result.get("ips") or ():
        where = item.get("interface")
        if where is None or (0 <= where < len(names) and names[where] == interface):
            found.append(ipaddress.ip_interface(item["address"]).ip)
    return tuple(str(ip) for ip in sorted(found, key=lambda ip: ip.version))

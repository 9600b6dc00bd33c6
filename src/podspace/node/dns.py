"""A Pod's resolver: the machine's, with what ``dnsPolicy`` and ``dnsConfig`` make of it.

There is no cluster DNS on one machine, so ClusterFirst and ClusterFirstWithHostNet mean Default. Pure but for ``of_host``.
Source: kubelet pkg/kubelet/network/dns/dns.go (GetPodDNS, appendDNSConfig); resolv.conf(5); systemd-resolved.service(8).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from podspace.node.pod import Pod
from podspace.runtime.model import DnsConfig

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def config(pod: Pod, host: str) -> DnsConfig:
    """Return the lines of the Pod's resolv.conf. ``host``: text of the machine's."""
    wanted = pod.spec.get("dnsConfig") or {}
    alone = pod.spec.get("dnsPolicy") == "None"
    base = DnsConfig() if alone else parse(host)
    own = {option["name"]: option.get("value") for option in wanted.get("options") or ()}
    kept = tuple(option for option in base.options if option.partition(":")[0] not in own)
    return DnsConfig(
        servers=_merged(base.servers, wanted.get("nameservers")),
        searches=_merged(base.searches, wanted.get("searches")),
        options=kept + tuple(f"{name}:{value}" if value else name for name, value in own.items()),
    )


def _merged(first: tuple[str, ...], second: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *(second or ()))))


def parse(text: str) -> DnsConfig:
    """The lines of a resolv.conf; the last ``search`` counts, as for the resolver."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                servers.append(address)
            case ["search" | "domain", *names]:
                searches = [name for name in names if name != "."]
            case ["options", *names]:
                options += names
    return DnsConfig(servers=tuple(servers), searches=tuple(searches), options=tuple(options))


def of_host(pod: Pod) -> str:
    """Text of the machine's resolv.conf; where that only names a stub on loopback, which no other netns reaches, of the one behind it."""
    texts = [file.read_text(errors="replace") for file in _FILES if file.is_file()]
    if not pod.host_network:
        texts = [text for text in texts if _reachable(text)] or texts
    return texts[0] if texts else ""


def _reachable(text: str) -> bool:
    return any(not _is_loopback(server) for server in parse(text).servers)


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False

"""A Pod's resolver: the cluster's or the machine's, with what ``dnsPolicy`` and ``dnsConfig`` make of it.

Without ``--cluster-dns`` there is no DNS of a cluster: then ClusterFirst and ClusterFirstWithHostNet mean Default. Pure, but for
``of_host``. Source: kubelet pkg/kubelet/network/dns/dns.go (GetPodDNS, appendDNSConfig, formDNSConfigFitsLimits); resolv.conf(5);
systemd-resolved.service(8).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from podspace.node.pod import Pod
from podspace.runtime.model import DnsConfig

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_OPTIONS = ("ndots:5",)
MOST_SERVERS, MOST_SEARCHES, MOST_SEARCH_CHARACTERS, LONGEST_SEARCH = 3, 32, 2048, 253  # what resolvers bear


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The name servers of ClusterFirst, none if there is no such thing."""

    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"


def config(pod: Pod, host: str, cluster: Cluster) -> tuple[DnsConfig, list[str]]:
    """Return the lines of the Pod's resolv.conf, and a kubelet's words for what does not fit in it. ``host``: text of the machine's."""
    wanted = pod.spec.get("dnsConfig") or {}
    base = _base(pod, host, cluster)
    own = {option["name"]: option.get("value") for option in wanted.get("options") or ()}
    kept = tuple(option for option in base.options if option.partition(":")[0] not in own)
    return _fit(
        DnsConfig(
            servers=_merged(base.servers, wanted.get("nameservers")),
            searches=_merged(base.searches, wanted.get("searches")),
            options=kept + tuple(f"{name}:{value}" if value else name for name, value in own.items()),
        )
    )


def _base(pod: Pod, host: str, cluster: Cluster) -> DnsConfig:
    policy = pod.spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "None":
        return DnsConfig()
    of_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.host_network)
    if not of_cluster or not cluster.servers:
        return parse(host)
    searches = (f"{pod.namespace}.svc.{cluster.domain}", f"svc.{cluster.domain}", cluster.domain)
    return DnsConfig(servers=cluster.servers, searches=_merged(searches, list(parse(host).searches)), options=_OPTIONS)


def _merged(first: tuple[str, ...], second: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *(second or ()))))


def _fit(full: DnsConfig) -> tuple[DnsConfig, list[str]]:
    """Leave out what a resolver would not read, or would break over."""
    servers = full.servers[:MOST_SERVERS]
    searches = [search for search in full.searches[:MOST_SEARCHES] if len(search) <= LONGEST_SEARCH]
    while len(" ".join(searches)) > MOST_SEARCH_CHARACTERS:
        searches.pop()
    said = []
    if servers != full.servers:
        line = " ".join(servers)
        said.append(f"Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {line}")
    if tuple(searches) != full.searches:
        line = " ".join(searches)
        said.append(f"Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {line}")
    return dataclasses.replace(full, servers=servers, searches=tuple(searches)), said


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


def of_host(pod: Pod, named: Path | None = None) -> str:
    """Text of the machine's resolv.conf: the file ``named``; else /etc/resolv.conf, or, where that only names a stub on loopback, which no
    other netns reaches, what is behind the stub.
    """
    if named is not None:
        return named.read_text(errors="replace")
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

"""Which sysctls a Pod may set: those that are safe, and those the server was told to allow. Pure.

Only what belongs to a namespace of the Pod can be allowed at all: anything else would be the machine's.
Source: kubelet pkg/kubelet/sysctl (allowlist.go, safe_sysctls.go); component-helpers node/util/sysctl (namespace.go, NormalizeName).
"""

from __future__ import annotations

from collections.abc import Sequence

from podspace import errors
from podspace.kube.json import JSON

_SAFE = """
    kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports net.ipv4.ip_unprivileged_port_start
    net.ipv4.ping_group_range net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes
    net.ipv4.tcp_keepalive_time net.ipv4.tcp_rmem net.ipv4.tcp_syncookies net.ipv4.tcp_wmem
"""
SAFE = frozenset(_SAFE.split())
_SWAPPED = str.maketrans("./", "/.")


def normal(name: str) -> str:
    """With dots between the parts, however it was written: the separator that comes first is meant; the other is a part's own character."""
    first = next((char for char in name if char in "./"), ".")
    return name if first == "." else name.translate(_SWAPPED)


def namespace_of(name: str) -> str:
    """``ipc`` or ``net``; "" for what is the whole machine's. ``name``: or the beginning of one."""
    if name == "kernel.sem" or name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")):
        return "ipc"
    return "net" if name.startswith("net.") else ""


def patterns(words: Sequence[str]) -> tuple[str, ...]:
    """The words of ``--allowed-unsafe-sysctls``: names, and beginnings of names that end in *.

    Raises: BadRequest for what no Pod could have for itself.
    """
    found = tuple(map(normal, words))
    for pattern in found:
        if not namespace_of(pattern.removesuffix("*")):
            raise errors.BadRequest(f'--allowed-unsafe-sysctls: the sysctls "{pattern}" are not known to be namespaced')
    return found


def forbidden(spec: JSON, allowed: Sequence[str]) -> str:
    """Why the node does not run a Pod with this spec, in a kubelet's words; "" if it does."""
    shared = {"net": "hostNetwork", "ipc": "hostIPC"}
    for item in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = normal(item["name"])
        if name not in SAFE and not any(_fits(name, pattern) for pattern in allowed):
            return f'forbidden sysctl: "{name}" not allowlisted'
        namespace = namespace_of(name)
        if spec.get(shared[namespace]):
            return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
    return ""


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern

"""What a node refuses although the Pod is bound to it: then the Pod has failed, and says why. Pure.

The scheduler says most of this earlier and leaves the Pod Pending; but a Pod may name its node itself and never meet the scheduler.
Source: kubelet pkg/kubelet/kubelet.go rejectPod; pkg/kubelet/sysctl/allowlist.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from podspace.kube.json import JSON
from podspace.node import host_ports, requests, support

_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """``reason`` and ``message`` of the Pod's status and event."""

    reason: str
    message: str


def refusal(pod: JSON, others: Iterable[JSON] = ()) -> Refusal | None:
    """Return why the node does not run the Pod beside ``others``, which it runs already; None if it does."""
    if fields := support.unsupported(pod):
        return Refusal(reason="Unsupported", message=support.in_words(fields))
    spec = pod["spec"]
    if host_ports.taken(pod, others):
        return Refusal(reason="NodePorts", message=f"Predicate NodePorts failed: {host_ports.TAKEN}")
    for item in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = item["name"].replace("/", ".")
        if name not in _SAFE_SYSCTLS:
            return Refusal(reason="SysctlForbidden", message=f'forbidden sysctl: "{name}" not allowlisted')
        if spec.get("hostNetwork") and name.startswith("net."):
            return Refusal(reason="SysctlForbidden", message=f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if spec.get("hostIPC") and name.startswith("kernel."):
            return Refusal(reason="SysctlForbidden", message=f'forbidden sysctl: "{name}" not allowed with host ipc enabled')
    return None


def no_room(pod: JSON, others: Iterable[JSON], node: JSON) -> Refusal | None:
    """Return that the node has not got what the Pod asks for beside ``others``, which run on it."""
    lacking = requests.lacking(pod, others, node)
    return None if lacking is None else Refusal(reason=lacking[0], message=lacking[1])

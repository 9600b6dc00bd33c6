"""The files under /etc that the Pod, not the image, decides: hosts. (hostname and resolv.conf are the sandbox's.)

Source: kubelet pkg/kubelet/kubelet_pods.go managedHostsFileContent, hostAliases.
"""

from __future__ import annotations

from pathlib import Path

from podspace.kube.json import JSON
from podspace.node.pod import Pod

_HEAD = (
    "# Kubernetes-managed hosts file.\n"
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)
_HOST_HEAD = "# Kubernetes-managed hosts file (host network).\n"


def hosts(pod: Pod, pod_ips: tuple[str, ...], *, cluster_domain: str, host_file: Path = Path("/etc/hosts")) -> str:
    """Return the Pod's /etc/hosts."""
    if pod.host_network:
        text = _HOST_HEAD + host_file.read_text(errors="replace")
    else:
        text = _HEAD + "".join(f"{ip}\t{_names(pod, cluster_domain)}\n" for ip in pod_ips)
    return text + _aliases(pod.spec.get("hostAliases") or [])


def _names(pod: Pod, cluster_domain: str) -> str:
    return "\t".join(filter(None, (pod.fqdn(cluster_domain), pod.hostname)))


def _aliases(aliases: list[JSON]) -> str:
    if not aliases:
        return ""
    lines = "".join(f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) + "\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + lines

"""Where a Pod finds the API that its ServiceAccount's token is for: the variables every client library looks for. Pure.

Kubernetes gives them to every container, for its Service ``kubernetes``. There is none on one machine: the address is the server's own,
and a Pod that cannot reach it, because the server listens on loopback alone, or that has no token, gets none.
Source: kubelet pkg/kubelet/envvars; client-go rest.InClusterConfig.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from podspace.kube.json import JSON
from podspace.node.pod import Pod

_NONE: Mapping[str, str] = {}


def variables(pod: Pod, listen: tuple[str, int], node_ip: str) -> Mapping[str, str]:
    """``listen``: host and port of the server; ``node_ip``: by which a Pod reaches it if it listens everywhere."""
    host = _reachable(listen[0], node_ip, host_network=pod.host_network)
    if not host or not listen[1] or not any(_has_token(volume) for volume in pod.spec.get("volumes") or ()):
        return _NONE
    port = str(listen[1])
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "KUBERNETES_SERVICE_PORT_HTTPS": port}


def _reachable(host: str, node_ip: str, *, host_network: bool) -> str:
    try:
        address = ipaddress.ip_address(host or "0.0.0.0")
    except ValueError:  # a name
        return host if host_network or host != "localhost" else ""
    if address.is_unspecified:
        return node_ip
    return "" if address.is_loopback and not host_network else host


def _has_token(volume: JSON) -> bool:
    """For the API itself: one for another audience opens nothing here."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    return any("serviceAccountToken" in source and not source["serviceAccountToken"].get("audience") for source in sources)

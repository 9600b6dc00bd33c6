"""What a runtime tells the plugins of one attachment: ``runtimeConfig``, each plugin the parts it says it is capable of. Pure.

Source: CNI CONVENTIONS.md (dynamic plugin specific fields); containerd's CRI plugin for what a kubelet's runtime passes.
"""

from __future__ import annotations

from collections.abc import Sequence

from podspace.kube.json import JSON
from podspace.linux import qdisc
from podspace.network.attachment import Attachment, HostPort
from podspace.network.cni.config import NetworkConfig


def of(wanted: Attachment, pod_cidrs: Sequence[str] = ()) -> JSON:
    """Capability -> value, without those that the sandbox asks nothing of. Raises: BadRequest (bandwidth)."""
    every: JSON = {
        "portMappings": [_mapping(port) for port in wanted.host_ports],
        "bandwidth": _bandwidth(wanted),
        "dns": _present(servers=list(wanted.dns_servers), searches=list(wanted.dns_searches), options=list(wanted.dns_options)),
        "ipRanges": [[{"subnet": cidr}] for cidr in pod_cidrs],
        "cgroupPath": wanted.cgroup,
        "io.kubernetes.cri.pod-annotations": dict(wanted.annotations),
    }
    return {name: value for name, value in every.items() if value}


def for_plugin(plugin: JSON, given: JSON) -> JSON:
    """Those of ``given`` that the plugin's configuration declares."""
    declared = plugin.get("capabilities") or {}
    return {name: value for name, value in given.items() if declared.get(name) is True}


def unheard(config: NetworkConfig, given: JSON) -> list[str]:
    """What a Pod's spec asks for and no plugin of the network is capable of."""
    heard = {name for plugin in config.plugins for name, value in (plugin.get("capabilities") or {}).items() if value is True}
    return [name for name in ("portMappings", "bandwidth") if name in given and name not in heard]


def arguments(wanted: Attachment) -> str:
    """CNI_ARGS: by these names plugins learn whose sandbox it is."""
    told = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": wanted.namespace,
        "K8S_POD_NAME": wanted.name,
        "K8S_POD_INFRA_CONTAINER_ID": wanted.sandbox_id,
        "K8S_POD_UID": wanted.uid,
    }
    return ";".join(f"{name}={value}" for name, value in told.items())


def _mapping(port: HostPort) -> JSON:
    told: JSON = {"hostPort": port.host_port, "containerPort": port.container_port, "protocol": port.protocol}
    return told | _present(hostIP=port.host_ip)


def _bandwidth(wanted: Attachment) -> JSON:
    """A burst that is a fraction of a second's: with a large one a limit would show only after gigabytes."""
    asked = wanted.bandwidth()
    told: JSON = {}
    for direction, bits in (("ingress", asked.ingress_bits), ("egress", asked.egress_bits)):
        if bits:
            told |= {f"{direction}Rate": bits, f"{direction}Burst": qdisc.burst_bytes(bits) * 8}
    return told


def _present(**fields: object) -> JSON:
    return {name: value for name, value in fields.items() if value}

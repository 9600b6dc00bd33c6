"""Which ports of the host a Pod asks for, and whether others on the node have them: the scheduler's NodePorts. Pure.

In the host's network a container's ports are the host's already (the API server makes ``hostPort`` equal): nothing is led anywhere, but
two Pods still cannot have the same. Source: kube-scheduler pkg/scheduler/framework/plugins/nodeports; kubelet container.MakePortMappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podspace.kube.json import JSON
from podspace.network.attachment import HostPort

TAKEN = "node(s) didn't have free ports for the requested pod ports"


def of_pod(spec: JSON) -> tuple[HostPort, ...]:
    """Those of its containers and sidecars, each once."""
    return tuple(dict.fromkeys(_walk(spec)))


def taken(pod: JSON, others: Iterable[JSON]) -> bool:
    """Whether one of ``others`` (which run on the node) has a port that the Pod asks for."""
    wanted = of_pod(pod["spec"])
    if not wanted:
        return False
    return any(port.clashes(theirs) for other in others for theirs in of_pod(other["spec"]) for port in wanted)


def _walk(spec: JSON) -> Iterator[HostPort]:
    sidecars = (container for container in spec.get("initContainers") or () if container.get("restartPolicy") == "Always")
    for container in (*sidecars, *spec["containers"]):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                host_ip = port.get("hostIP") or ""
                yield HostPort(
                    protocol=(port.get("protocol") or "TCP").lower(),
                    host_port=port["hostPort"],
                    container_port=port["containerPort"],
                    host_ip=host_ip,
                )

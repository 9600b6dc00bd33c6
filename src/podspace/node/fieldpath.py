"""The downward API: what a Pod may learn about itself, by field path or by resource name.

Used for environment variables and for downwardAPI volumes. Raises ``errors.Invalid``-free plain ``KeyError`` never: an unknown
path was refused when the Pod was created. Source: kubelet pkg/fieldpath, pkg/api/v1/resource/helpers.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from podspace.kube import quantity
from podspace.kube.json import JSON
from podspace.node.pod import Pod

_SUBSCRIPT = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the downward API tells of the node. Sizes in bytes, CPU in thousandths. ``ips``: at most one of each family, IPv4 first."""

    name: str
    ips: tuple[str, ...]
    cpu_milli: int
    memory_bytes: int
    storage_bytes: int = 0  # of the disk that Pods' volumes and roots are on


def value(pod: Pod, path: str, node: NodeFacts, pod_ips: tuple[str, ...]) -> str:
    """Return the text of one field, "" where the field is not set."""
    metadata, spec = pod.raw["metadata"], pod.spec
    if match := _SUBSCRIPT.match(path):
        found = (metadata.get(match[1].removeprefix("metadata.")) or {}).get(match[2], "")
        return str(found)
    match path:
        case "metadata.name":
            return pod.name
        case "metadata.namespace":
            return pod.namespace
        case "metadata.uid":
            return pod.uid
        case "metadata.labels" | "metadata.annotations":
            return _format_map(metadata.get(path.removeprefix("metadata.")) or {})
        case "spec.nodeName":
            return str(spec.get("nodeName") or node.name)
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "default")
        case "status.hostIP":
            return node.ips[0] if node.ips else ""
        case "status.hostIPs":
            return ",".join(node.ips)
        case "status.podIP":
            return pod_ips[0] if pod_ips else ""
        case "status.podIPs":
            return ",".join(pod_ips)
        case _:
            return ""


def _format_map(values: JSON) -> str:
    """``key="value"`` lines in key order, Go-quoted as the kubelet writes them."""
    return "\n".join(f"{key}={_quote(str(values[key]))}" for key in sorted(values))


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f'"{escaped}"'


def resource_value(pod: Pod, selector: JSON, container_name: str, node: NodeFacts) -> str:
    """Return ``limits.cpu`` and the like as a whole number of ``divisor``, rounded up.

    A limit that is not set, or zero, is the whole Pod's, or the node's allocatable amount; a request that is not set is 0.
    """
    container = pod.find(selector.get("containerName") or container_name)
    scope, _, name = str(selector["resource"]).partition(".")
    resources = (container.raw.get("resources") or {}) if container else {}
    amount = quantity.parse((resources.get(scope) or {}).get(name) or "0")
    if scope == "limits" and not amount.nanos:
        amount = _default_limit(pod, name, node)
    divisor = quantity.parse(str(selector.get("divisor") or "0"))
    if name == "cpu":
        return str(_divided_up(amount.milli_value, divisor.milli_value or 1000))
    return str(_divided_up(amount.value, divisor.value or 1))


def _default_limit(pod: Pod, name: str, node: NodeFacts) -> quantity.Quantity:
    """What bounds a container that has no limit of its own."""
    allocatable = {"cpu": node.cpu_milli * 10**6, "memory": node.memory_bytes * quantity.BILLION}
    allocatable["ephemeral-storage"] = node.storage_bytes * quantity.BILLION
    whole = ((pod.spec.get("resources") or {}).get("limits") or {}).get(name)
    has = allocatable.get(name, 0)
    return quantity.Quantity(nanos=has if whole is None else min(has, quantity.parse(whole).nanos))


def _divided_up(amount: int, divisor: int) -> int:
    return -(-amount // divisor)

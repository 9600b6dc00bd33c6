"""The rows of all resources but Pods: one function each, from an object's JSON to its cells.

Called by ``table``. Pure. Events are read in both their shapes (core/v1 and events.k8s.io/v1).
Source: the table printer of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from podspace.kube import duration, quantity, table_pods, table_storage, times
from podspace.kube.json import JSON
from podspace.kube.quantity import Quantity
from podspace.kube.table_pods import NONE

UNKNOWN = "<unknown>"
_ROLE_PREFIX = "node-role.kubernetes.io/"


def since(timestamp: str | None, now: float) -> str:
    """``8m34s``; ``<unknown>`` without a timestamp."""
    return duration.human(now - times.parse(timestamp)) if timestamp else UNKNOWN


def of(resource: str, obj: JSON, now: float) -> list[Any]:
    """The cells of one object, in the order of its resource's columns."""
    age = since(obj["metadata"].get("creationTimestamp"), now)
    return _CELLS.get(resource, _generic)(obj, age, now)


def _generic(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], age]


def _config_map(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age]


def _secret(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or ()), age]


def _namespace(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("status") or {}).get("phase", ""), age]


def _lease(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("spec") or {}).get("holderIdentity", ""), age]


def _node(obj: JSON, age: str, now: float) -> list[Any]:
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    kernel, architecture = info.get("kernelVersion"), info.get("architecture")
    return [
        obj["metadata"]["name"],
        _node_status(obj),
        ",".join(_roles(obj["metadata"].get("labels") or {})) or NONE,
        age,
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        (f"{kernel} ({architecture})" if architecture else kernel) if kernel else UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: JSON) -> str:
    ready = [c.get("status") for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") == "Ready"]
    words = ["Unknown" if not ready else "Ready" if ready[-1] == "True" else "NotReady"]
    if (obj.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(labels: Mapping[str, str]) -> list[str]:
    roles = {label.removeprefix(_ROLE_PREFIX) for label in labels if label.startswith(_ROLE_PREFIX)}
    return sorted((roles | {labels.get("kubernetes.io/role", "")}) - {""})


def _address(status: JSON, kind: str) -> str:
    return next((a["address"] for a in status.get("addresses") or () if a.get("type") == kind), NONE)


def _event(obj: JSON, age: str, now: float) -> list[Any]:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    series = obj.get("series") or {}
    first_time = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last_time = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first_time
    return [
        since(last_time, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        "/".join(filter(None, (about.get("kind", "").lower(), about.get("name", "")))),
        about.get("fieldPath", ""),
        _source(obj),
        (obj.get("message") or obj.get("note") or "").strip(),
        since(first_time, now),
        series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1,
        obj["metadata"]["name"],
    ]


def _source(obj: JSON) -> str:
    """``kubelet, node-1``."""
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _service(obj: JSON, age: str, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        spec.get("clusterIP") or NONE,
        _external_ip(obj, spec),
        ",".join(map(_port, spec.get("ports") or ())) or NONE,
        age,
        selector or NONE,
    ]


def _limit_range(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp") or NONE]


def _resource_quota(obj: JSON, age: str, now: float) -> list[Any]:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    told = {name: f"{name}: {used.get(name, '0')}/{value}" for name, value in sorted(hard.items())}
    requests = ", ".join(words for name, words in told.items() if not name.startswith("limits."))
    limits = ", ".join(words for name, words in told.items() if name.startswith("limits."))
    return [obj["metadata"]["name"], requests, limits, age]


def _metrics(obj: JSON, age: str, now: float) -> list[Any]:
    """A Pod's are those of its containers together."""
    used = [obj["usage"]] if "usage" in obj else [container["usage"] for container in obj["containers"]]
    cpu = Quantity(nanos=sum(quantity.parse(one["cpu"]).nanos for one in used))
    memory = Quantity(nanos=sum(quantity.parse(one["memory"]).nanos for one in used), family="binary")
    return [obj["metadata"]["name"], cpu.canonical(), memory.canonical(), obj["window"]]


def _external_ip(obj: JSON, spec: JSON) -> str:
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    addresses = list(spec.get("externalIPs") or ())
    if spec.get("type") != "LoadBalancer":
        return ",".join(addresses) or NONE
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join([*(entry.get("ip") or entry.get("hostname") or "" for entry in ingress), *addresses]) or "<pending>"


def _port(port: JSON) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def _priority_class(obj: JSON, age: str, now: float) -> list[Any]:
    default = "true" if obj.get("globalDefault") else "false"
    return [obj["metadata"]["name"], obj.get("value", 0), default, age, obj.get("preemptionPolicy", "")]


def _runtime_class(obj: JSON, age: str, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("handler", ""), age]


_CELLS: Mapping[str, Callable[[JSON, str, float], list[Any]]] = {
    "pods.metrics.k8s.io": _metrics,
    "nodes.metrics.k8s.io": _metrics,
    "pods": table_pods.cells,
    "nodes": _node,
    "events": _event,
    "events.events.k8s.io": _event,
    "configmaps": _config_map,
    "secrets": _secret,
    "namespaces": _namespace,
    "limitranges": _limit_range,
    "resourcequotas": _resource_quota,
    "services": _service,
    "leases.coordination.k8s.io": _lease,
    "persistentvolumes": table_storage.volume,
    "persistentvolumeclaims": table_storage.claim,
    "storageclasses.storage.k8s.io": table_storage.storage_class,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "runtimeclasses.node.k8s.io": _runtime_class,
}

"""The columns of each resource's table: names, which are only shown wide, and what they mean.

Read by ``table``. Texts are those of the API's own fields wherever the API server uses them; they are looked up once, at the first table.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

from podspace.kube import schema
from podspace.kube.json import JSON

_NAME = ("Name", "ObjectMeta.name")
_AGE = ("Age", "ObjectMeta.creationTimestamp")

_METRICS = (_NAME, ("cpu", "Cores, over the window"), ("memory", "The working set"), ("Window", "What the rates were measured over"))

# Title and text; a text like "Model.field" is that field's. A title with "*" is shown by "-o wide" only.
_COLUMNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pods": (
        _NAME,
        ("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        ("Status", "The aggregate status of the containers in this pod."),
        (
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        _AGE,
        ("IP*", "PodStatus.podIP"),
        ("Node*", "PodSpec.nodeName"),
        ("Nominated Node*", "PodStatus.nominatedNodeName"),
        ("Readiness Gates*", "PodSpec.readinessGates"),
    ),
    "nodes": (
        _NAME,
        ("Status", "The status of the node"),
        ("Roles", "The roles of the node"),
        _AGE,
        ("Version", "NodeSystemInfo.kubeletVersion"),
        ("Internal-IP*", "NodeStatus.addresses"),
        ("External-IP*", "NodeStatus.addresses"),
        ("OS-Image*", "NodeSystemInfo.osImage"),
        ("Kernel-Version*", "NodeSystemInfo.kernelVersion"),
        ("Container-Runtime*", "NodeSystemInfo.containerRuntimeVersion"),
    ),
    "events": (
        ("Last Seen", "Event.lastTimestamp"),
        ("Type", "Event.type"),
        ("Reason", "Event.reason"),
        ("Object", "Event.involvedObject"),
        ("Subobject*", "ObjectReference.fieldPath"),
        ("Source*", "Event.source"),
        ("Message", "Event.message"),
        ("First Seen*", "Event.firstTimestamp"),
        ("Count*", "Event.count"),
        ("Name*", "ObjectMeta.name"),
    ),
    "limitranges": (_NAME, ("Created At", "ObjectMeta.creationTimestamp")),
    "resourcequotas": (
        _NAME,
        ("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
        ("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
        _AGE,
    ),
    "services": (
        _NAME,
        ("Type", "ServiceSpec.type"),
        ("Cluster-IP", "ServiceSpec.clusterIP"),
        ("External-IP", "ServiceSpec.externalIPs"),
        ("Port(s)", "ServiceSpec.ports"),
        _AGE,
        ("Selector*", "ServiceSpec.selector"),
    ),
    "configmaps": (_NAME, ("Data", "ConfigMap.data"), _AGE),
    "secrets": (_NAME, ("Type", "Secret.type"), ("Data", "Secret.data"), _AGE),
    "namespaces": (_NAME, ("Status", "The status of the namespace"), _AGE),
    "persistentvolumes": (
        _NAME,
        ("Capacity", "PersistentVolumeSpec.capacity"),
        ("Access Modes", "PersistentVolumeSpec.accessModes"),
        ("Reclaim Policy", "PersistentVolumeSpec.persistentVolumeReclaimPolicy"),
        ("Status", "PersistentVolumeStatus.phase"),
        ("Claim", "PersistentVolumeSpec.claimRef"),
        ("StorageClass", "StorageClass of the pv"),
        ("VolumeAttributesClass", "PersistentVolumeSpec.volumeAttributesClassName"),
        ("Reason", "PersistentVolumeStatus.reason"),
        _AGE,
        ("VolumeMode*", "PersistentVolumeSpec.volumeMode"),
    ),
    "persistentvolumeclaims": (
        _NAME,
        ("Status", "PersistentVolumeClaimStatus.phase"),
        ("Volume", "PersistentVolumeClaimSpec.volumeName"),
        ("Capacity", "PersistentVolumeClaimStatus.capacity"),
        ("Access Modes", "PersistentVolumeClaimStatus.accessModes"),
        ("StorageClass", "StorageClass of the pvc"),
        ("VolumeAttributesClass", "PersistentVolumeClaimSpec.volumeAttributesClassName"),
        _AGE,
        ("VolumeMode*", "PersistentVolumeClaimSpec.volumeMode"),
    ),
    "storageclasses.storage.k8s.io": (
        _NAME,
        ("Provisioner", "StorageClass.provisioner"),
        ("ReclaimPolicy", "StorageClass.reclaimPolicy"),
        ("VolumeBindingMode", "StorageClass.volumeBindingMode"),
        ("AllowVolumeExpansion", "StorageClass.allowVolumeExpansion"),
        _AGE,
    ),
    "priorityclasses.scheduling.k8s.io": (
        _NAME,
        ("Value", "PriorityClass.value"),
        ("Global-Default", "PriorityClass.globalDefault"),
        _AGE,
        ("PreemptionPolicy", "PriorityClass.preemptionPolicy"),
    ),
    "runtimeclasses.node.k8s.io": (_NAME, ("Handler", "RuntimeClass.handler"), _AGE),
    "pods.metrics.k8s.io": _METRICS,
    "nodes.metrics.k8s.io": _METRICS,
    "leases.coordination.k8s.io": (_NAME, ("Holder", "LeaseSpec.holderIdentity"), _AGE),
}
_GENERIC = (_NAME, _AGE)


def of(resource: str) -> list[JSON]:
    """``columnDefinitions`` of a qualified resource: name, type, format, description, priority (1 = wide only). Shared: do not change."""
    return _definitions()["events" if resource == "events.events.k8s.io" else resource if resource in _COLUMNS else ""]


@functools.cache
def _definitions() -> dict[str, list[JSON]]:
    docs: dict[str, dict[str, str]] = json.loads(schema.data("schema_docs.json"))
    return {
        resource: [_definition(title, text, docs) for title, text in columns] for resource, columns in [*_COLUMNS.items(), ("", _GENERIC)]
    }


def _definition(title: str, text: str, docs: Mapping[str, Mapping[str, str]]) -> JSON:
    model, _, field = text.partition(".")
    name = title.rstrip("*")
    return {
        "name": name,
        "type": "string",
        "format": "name" if name == "Name" else "",
        "description": docs.get(model, {}).get(field, text),
        "priority": int(title.endswith("*")),
    }

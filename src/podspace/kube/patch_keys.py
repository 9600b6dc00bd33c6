"""Which lists a strategic merge patch merges, and by which key of their elements.

Read by ``patch_strategic`` only. A list that is not named here is replaced as a whole. ``""`` marks a list of plain values that is merged
as a set. Source: patchStrategy and patchMergeKey of the API types of Kubernetes 1.36, as /openapi/v2 publishes them.
"""

from __future__ import annotations

from collections.abc import Mapping

_CONTAINER = {"env": "name", "ports": "containerPort", "volumeDevices": "devicePath", "volumeMounts": "mountPath"}

MERGED_LISTS: Mapping[str, Mapping[str, str]] = {
    "Container": _CONTAINER,
    "ContainerStatus": {"allocatedResourcesStatus": "name", "volumeMounts": "mountPath"},
    "EphemeralContainer": _CONTAINER,
    "NamespaceStatus": {"conditions": "type"},
    "NodeSpec": {"podCIDRs": ""},
    "NodeStatus": {"addresses": "type", "conditions": "type"},
    "ObjectMeta": {"finalizers": "", "ownerReferences": "uid"},
    "PodSpec": {
        "containers": "name",
        "ephemeralContainers": "name",
        "hostAliases": "ip",
        "imagePullSecrets": "name",
        "initContainers": "name",
        "resourceClaims": "name",
        "schedulingGates": "name",
        "topologySpreadConstraints": "topologyKey",
        "volumes": "name",
    },
    "PodStatus": {"conditions": "type", "hostIPs": "ip", "podIPs": "ip", "resourceClaimStatuses": "name"},
    "ServiceAccount": {"secrets": "name"},
    "ServiceSpec": {"ports": "port"},
    "ServiceStatus": {"conditions": "type"},
}

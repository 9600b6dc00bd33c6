"""What no OpenAPI document tells about the Go types behind the JSON: needed to word decoding errors and to print what Go prints.

Used by ``gen_schema`` only. Three tables: named string types, order of a struct's fields where it is not the order of the
protobuf numbers, and fields that are printed although the client left them out.
Source: k8s.io/api core/v1 types.go of Kubernetes 1.36, and answers of a real API server.
"""

from __future__ import annotations

# model -> field -> Go type; the model "*" holds for every model that has the field.
NAMED_STRINGS: dict[str, dict[str, str]] = {
    "*": {
        "uid": "types.UID",
        "terminationMessagePolicy": "v1.TerminationMessagePolicy",
        "imagePullPolicy": "v1.PullPolicy",
        "mountPropagation": "v1.MountPropagationMode",
        "recursiveReadOnly": "v1.RecursiveReadOnlyMode",
        "stopSignal": "v1.Signal",
        "effect": "v1.TaintEffect",
        "accessModes": "v1.PersistentVolumeAccessMode",
    },
    "PodSpec": {"restartPolicy": "v1.RestartPolicy", "dnsPolicy": "v1.DNSPolicy", "preemptionPolicy": "v1.PreemptionPolicy"},
    "Container": {"restartPolicy": "v1.ContainerRestartPolicy"},
    "EphemeralContainer": {"restartPolicy": "v1.ContainerRestartPolicy"},
    "PodOS": {"name": "v1.OSName"},
    "ContainerPort": {"protocol": "v1.Protocol"},
    "ContainerResizePolicy": {"resourceName": "v1.ResourceName", "restartPolicy": "v1.ResourceResizeRestartPolicy"},
    "ContainerRestartRule": {"action": "v1.ContainerRestartRuleAction"},
    "ContainerRestartRuleOnExitCodes": {"operator": "v1.ContainerRestartRuleOnExitCodesOperator"},
    "HTTPGetAction": {"scheme": "v1.URIScheme"},
    "Capabilities": {"add": "v1.Capability", "drop": "v1.Capability"},
    "SecurityContext": {"procMount": "v1.ProcMountType"},
    "SeccompProfile": {"type": "v1.SeccompProfileType"},
    "AppArmorProfile": {"type": "v1.AppArmorProfileType"},
    "HostPathVolumeSource": {"type": "v1.HostPathType"},
    "EmptyDirVolumeSource": {"medium": "v1.StorageMedium"},
    "ImageVolumeSource": {"pullPolicy": "v1.PullPolicy"},
    "Toleration": {"operator": "v1.TolerationOperator"},
    "PodSecurityContext": {
        "fsGroupChangePolicy": "v1.PodFSGroupChangePolicy",
        "supplementalGroupsPolicy": "v1.SupplementalGroupsPolicy",
        "seLinuxChangePolicy": "v1.PodSELinuxChangePolicy",
    },
    "TopologySpreadConstraint": {
        "whenUnsatisfiable": "v1.UnsatisfiableConstraintAction",
        "nodeAffinityPolicy": "v1.NodeInclusionPolicy",
        "nodeTaintsPolicy": "v1.NodeInclusionPolicy",
    },
    "PodReadinessGate": {"conditionType": "v1.PodConditionType"},
    "NodeSelectorRequirement": {"operator": "v1.NodeSelectorOperator"},
    "LabelSelectorRequirement": {"operator": "v1.LabelSelectorOperator"},
    "Secret": {"type": "v1.SecretType"},
    "PodStatus": {"phase": "v1.PodPhase", "qosClass": "v1.PodQOSClass", "resize": "v1.PodResizeStatus"},
    "PodCondition": {"type": "v1.PodConditionType", "status": "v1.ConditionStatus"},
    "NamespaceSpec": {"finalizers": "v1.FinalizerName"},
    "NamespaceStatus": {"phase": "v1.NamespacePhase"},
    "NamespaceCondition": {"type": "v1.NamespaceConditionType", "status": "v1.ConditionStatus"},
    "NodeStatus": {"phase": "v1.NodePhase", "volumesInUse": "v1.UniqueVolumeName"},
    "NodeCondition": {"type": "v1.NodeConditionType", "status": "v1.ConditionStatus"},
    "NodeAddress": {"type": "v1.NodeAddressType"},
    "PersistentVolumeClaimSpec": {"volumeMode": "v1.PersistentVolumeMode"},
    "PersistentVolumeClaimStatus": {"phase": "v1.PersistentVolumeClaimPhase"},
    "PersistentVolumeSpec": {
        "volumeMode": "v1.PersistentVolumeMode",
        "persistentVolumeReclaimPolicy": "v1.PersistentVolumeReclaimPolicy",
    },
    "PersistentVolumeStatus": {"phase": "v1.PersistentVolumePhase"},
    "PriorityClass": {"preemptionPolicy": "v1.PreemptionPolicy"},
    "StorageClass": {"reclaimPolicy": "v1.PersistentVolumeReclaimPolicy", "volumeBindingMode": "v1.VolumeBindingMode"},
    "ManagedFieldsEntry": {"operation": "v1.ManagedFieldsOperationType"},
    "DeleteOptions": {"propagationPolicy": "v1.DeletionPropagation"},
    "ServiceSpec": {"type": "v1.ServiceType", "sessionAffinity": "v1.ServiceAffinity", "ipFamilies": "v1.IPFamily"},
    "ServicePort": {"protocol": "v1.Protocol"},
}

QUANTITY_MAPS = (
    *("limits", "requests", "overhead", "podFixed", "capacity", "allocatable", "allocatedResources"),
    *("max", "min", "default", "defaultRequest", "maxLimitRequestRatio", "hard", "used"),
)
BYTES_MAPS = {"Secret": ("data",), "ConfigMap": ("binaryData",)}
STRING_LIST_MAPS = ("extra",)

CONTAINER_ORDER = (
    "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy restartPolicyRules volumeMounts "
    "volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy "
    "securityContext stdin stdinOnce tty targetContainerName"
)

# model -> its fields in the order of the Go struct, which is the order of JSON output.
ORDER: dict[str, str] = {
    "NodeSpec": "podCIDR podCIDRs providerID unschedulable taints configSource externalID",
    "PodSpec": (
        "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy "
        "nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC "
        "shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations hostAliases "
        "priorityClassName priority dnsConfig readinessGates runtimeClassName enableServiceLinks preemptionPolicy overhead "
        "topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources hostnameOverride schedulingGroup"
    ),
    "Container": CONTAINER_ORDER,
    "EphemeralContainer": CONTAINER_ORDER,
    "PodSecurityContext": (
        "seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup sysctls "
        "fsGroupChangePolicy seccompProfile appArmorProfile seLinuxChangePolicy"
    ),
    "SecurityContext": (
        "capabilities privileged seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem "
        "allowPrivilegeEscalation procMount seccompProfile appArmorProfile"
    ),
    "VolumeMount": "name readOnly recursiveReadOnly mountPath subPath mountPropagation subPathExpr",
    "PodStatus": (
        "observedGeneration phase conditions message reason nominatedNodeName hostIP hostIPs podIP podIPs startTime initContainerStatuses "
        "containerStatuses qosClass ephemeralContainerStatuses resize resourceClaimStatuses extendedResourceClaimStatus"
    ),
    "PodCondition": "type observedGeneration status lastProbeTime lastTransitionTime reason message",
    "PersistentVolumeClaimSpec": "accessModes selector resources volumeName storageClassName volumeMode dataSource dataSourceRef",
    "Secret": "metadata immutable data stringData type",
    "ConfigMap": "metadata immutable data binaryData",
    "OwnerReference": "apiVersion kind name uid controller blockOwnerDeletion",
    "ServiceSpec": (
        "ports selector clusterIP clusterIPs type externalIPs sessionAffinity loadBalancerIP loadBalancerSourceRanges externalName "
        "externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses sessionAffinityConfig ipFamilies ipFamilyPolicy "
        "allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy trafficDistribution"
    ),
    "ServicePort": "name protocol appProtocol port targetPort nodePort",
}

# model -> fields Go prints although they are empty: structs held by value, and members without omitempty that OpenAPI calls optional.
ALWAYS: dict[str, tuple[str, ...]] = {
    "Container": ("resources",),
    "EphemeralContainer": ("resources",),
    "Pod": ("metadata", "spec", "status"),
    "Namespace": ("metadata", "spec", "status"),
    "Node": ("metadata", "spec", "status"),
    "Service": ("metadata", "spec", "status"),
    "ServiceStatus": ("loadBalancer",),
    "ServicePort": ("targetPort",),
    "PersistentVolume": ("metadata", "spec", "status"),
    "PersistentVolumeClaim": ("metadata", "spec", "status"),
    "PersistentVolumeClaimCondition": ("lastProbeTime", "lastTransitionTime"),
    "StorageClass": ("metadata",),
    "PriorityClass": ("metadata", "value"),
    "RuntimeClass": ("metadata",),
    "ConfigMap": ("metadata",),
    "Secret": ("metadata",),
    "ServiceAccount": ("metadata",),
    "Lease": ("metadata", "spec"),
    "Binding": ("metadata",),
    "Eviction": ("metadata",),
    "Event": ("metadata", "source", "firstTimestamp", "lastTimestamp", "eventTime", "reportingComponent", "reportingInstance"),
    "events_v1.Event": ("metadata", "eventTime"),
    "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "NodeDaemonEndpoints": ("kubeletEndpoint",),
    "ContainerStatus": ("state", "lastState"),
    "ContainerStateRunning": ("startedAt",),
    "ContainerStateTerminated": ("startedAt", "finishedAt"),
    "PodCondition": ("lastProbeTime", "lastTransitionTime"),
    "NodeCondition": ("lastHeartbeatTime", "lastTransitionTime"),
    "ProjectedVolumeSource": ("sources",),
    "ResourceFieldSelector": ("divisor",),
    "PersistentVolumeClaimSpec": ("resources",),
    "SelfSubjectAccessReview": ("metadata", "spec", "status"),
    "SelfSubjectRulesReview": ("metadata", "spec", "status"),
    "SelfSubjectReview": ("metadata", "status"),
    "SelfSubjectReviewStatus": ("userInfo",),
    "TokenRequest": ("metadata", "spec", "status"),
    "TokenReview": ("metadata", "spec", "status"),
    "TokenReviewStatus": ("user",),
    "SubjectAccessReview": ("metadata", "spec", "status"),
    "LocalSubjectAccessReview": ("metadata", "spec", "status"),
    "LimitRange": ("metadata", "spec"),
    "LimitRangeSpec": ("limits",),
    "ResourceQuota": ("metadata", "spec", "status"),
    "TokenRequestSpec": ("audiences", "expirationSeconds", "boundObjectRef"),
    "TokenRequestStatus": ("token", "expirationTimestamp"),
}

# Models without a protobuf table: which optional scalars are pointers, which integers are 32 bits wide.
POINTERS: dict[str, tuple[str, ...]] = {
    "ServiceSpec": ("ipFamilyPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass", "internalTrafficPolicy", "trafficDistribution"),
    "ServicePort": ("appProtocol",),
    "Condition": (),
}
INT32: dict[str, tuple[str, ...]] = {
    "ServicePort": ("port", "nodePort"),
    "ServiceSpec": ("healthCheckNodePort",),
    "ClientIPConfig": ("timeoutSeconds",),
    "PortStatus": ("port",),
    "EventSeries": ("count",),
}

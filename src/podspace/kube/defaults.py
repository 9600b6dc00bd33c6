"""Fill in what a client may leave out, as the API server does before admission and validation.

Called by ``api`` for objects it creates and updates; the object must be canonical (``decode`` or ``strict.normalize``). In place,
idempotent. Defaults that need to know the cluster (tolerations, priority) are ``admission``'s.
Source: kubernetes pkg/apis/core/v1/defaults.go, as seen on the wire.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from podspace.kube import amounts, images, limits, quantity, schema, validation_services
from podspace.kube.json import JSON

DEFAULT_MODE = 0o644
TOKEN_SECONDS = 3600
GRACE_SECONDS = 30
TERMINATION_LOG = "/dev/termination-log"
NAME_LABEL = "kubernetes.io/metadata.name"
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
SOURCES_OFF = ("clusterTrustBundle", "podCertificate")  # behind feature gates that are off in 1.36: a real server drops them
_AFFINITY_SECONDS = 10800
_POD_LEVEL = ("cpu", "memory")
_HUGE_PAGES = "hugepages-"
_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"


def apply(kind: str, obj: JSON) -> None:
    """Set the defaults of one object; kinds without any are left alone."""
    setter = _SETTERS.get(kind)
    if setter is not None:
        setter(obj)


def pod_spec(spec: JSON) -> None:
    """Defaults of a Pod's spec."""
    for volume in spec.get("volumes") or ():
        _volume(volume)
    for field in CONTAINER_LISTS:
        if present := spec.get(field):
            spec[field] = [_container(container) for container in present]
    if not (spec.get("os") or {}).get("name"):
        for container in all_containers(spec):
            _drop_stop_signal(container)
    for container in all_containers(spec, ("initContainers", "containers")):
        _requests_from_limits(container["resources"])
        if spec.get("hostNetwork"):
            _host_ports(container)
    if resources := spec.get("resources"):
        _pod_resources(spec, resources)
    _round_up(spec.get("overhead"))
    if spec.get("restartPolicy") is None:
        spec["restartPolicy"] = "Always"
    grace = spec.setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    if grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("enableServiceLinks", True)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def all_containers(spec: JSON, lists: tuple[str, ...] = CONTAINER_LISTS) -> Iterator[JSON]:
    """Every container of the lists, in their order."""
    for field in lists:
        yield from spec.get(field) or ()


def _pod(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    _apparmor(obj, spec)
    obj["spec"] = schema.ordered("PodSpec", spec)


def _container(container: JSON) -> JSON:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", TERMINATION_LOG)
    container.setdefault("terminationMessagePolicy", "File")
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = images.pull_policy(container.get("image", ""))
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        _field_ref(variable.get("valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            container[name] = _probe(container[name])
    if "lifecycle" in container:
        _lifecycle(container)
    _round_up(container["resources"].get("limits"))
    _round_up(container["resources"].get("requests"))
    return schema.ordered("EphemeralContainer", container)


def _lifecycle(container: JSON) -> None:
    for name, handler in container["lifecycle"].items():
        if name != "stopSignal":
            _http_get(handler)


def _drop_stop_signal(container: JSON) -> None:
    """A stop signal needs ``spec.os.name`` (KEP-4960). Without one it is dropped with a warning, as by a 1.36 server with that gate off."""
    hooks = container.get("lifecycle")
    if hooks and hooks.pop("stopSignal", None) and not hooks:
        del container["lifecycle"]


def _probe(probe: JSON) -> JSON:
    for name, default in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe.setdefault(name, default)
    _http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    return schema.ordered("Probe", probe)


def _http_get(handler: JSON) -> None:
    if "httpGet" in handler:
        action = handler["httpGet"]
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")
        handler["httpGet"] = schema.ordered("HTTPGetAction", action)


def _field_ref(holder: JSON | None) -> None:
    if holder and "fieldRef" in holder:
        reference = holder["fieldRef"]
        holder["fieldRef"] = {"apiVersion": reference.get("apiVersion") or "v1", "fieldPath": reference.get("fieldPath", "")}
    if holder and "fileKeyRef" in holder:
        holder["fileKeyRef"].setdefault("optional", False)


def _round_up(listed: JSON | None) -> None:
    """Nothing finer than a thousandth is kept of a resource."""
    for name, text in (listed or {}).items():
        if text[-1:] in "nu":
            assert listed is not None
            listed[name] = quantity.parse(text).rounded_to_milli().canonical()


def _requests_from_limits(resources: JSON) -> None:
    limits = resources.get("limits")
    if limits:
        requests = {**limits, **(resources.get("requests") or {})}
        resources["requests"] = dict(sorted(requests.items()))


def _host_ports(container: JSON) -> None:
    ports = container.get("ports")
    if ports:
        container["ports"] = [
            schema.ordered("ContainerPort", {**port, "hostPort": port.get("hostPort") or port.get("containerPort", 0)}) for port in ports
        ]


def _pod_resources(spec: JSON, resources: JSON) -> None:
    """Pod-level requests: what the containers need together, else the pod-level limit. Huge pages' limits follow the containers'."""
    _round_up(resources.get("limits"))
    _round_up(resources.get("requests"))
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if limits or requests:
        for name, amount in amounts.spelled(amounts.of_containers(spec, "limits")).items():
            if name.startswith(_HUGE_PAGES) and name not in requests:
                limits.setdefault(name, amount)
    if limits:
        for name, amount in amounts.spelled(amounts.of_containers(spec, "requests")).items():
            if name in _POD_LEVEL:
                requests.setdefault(name, amount)
        for name, limit in limits.items():
            if name in _POD_LEVEL or name.startswith(_HUGE_PAGES):
                requests.setdefault(name, limit)
    for side, amount_of in (("limits", limits), ("requests", requests)):
        if amount_of:
            resources[side] = dict(sorted(amount_of.items()))
    spec["resources"] = schema.ordered("ResourceRequirements", resources)


def _volume(volume: JSON) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for name, source in volume.items():
        setter = _VOLUMES.get(name)
        if setter is not None:
            setter(source)
            volume[name] = schema.ordered(schema.fields("Volume")[name].type.base, source)


def _mode(source: JSON) -> None:
    source.setdefault("defaultMode", DEFAULT_MODE)


def _downward(source: JSON) -> None:
    _mode(source)
    for item in source.get("items") or ():
        _field_ref(item)


def _projected(source: JSON) -> None:
    _mode(source)
    for part in source.get("sources") or ():
        for off in SOURCES_OFF:
            part.pop(off, None)
        for item in (part.get("downwardAPI") or {}).get("items") or ():
            _field_ref(item)
        token = part.get("serviceAccountToken")
        if token is not None and "expirationSeconds" not in token:
            token["expirationSeconds"] = TOKEN_SECONDS
            part["serviceAccountToken"] = schema.ordered("ServiceAccountTokenProjection", token)


def _claim(source: JSON) -> None:
    template = source.get("volumeClaimTemplate")
    if template:
        template["spec"].setdefault("volumeMode", "Filesystem")


def _fixed(**values: Any) -> Callable[[JSON], None]:
    def setter(source: JSON) -> None:
        for name, value in values.items():
            source.setdefault(name, value)

    return setter


def _image_volume(source: JSON) -> None:
    if source.get("reference"):
        source.setdefault("pullPolicy", images.pull_policy(source["reference"]))


_VOLUMES: dict[str, Callable[[JSON], None]] = {
    "secret": _mode,
    "configMap": _mode,
    "downwardAPI": _downward,
    "projected": _projected,
    "hostPath": _fixed(type=""),
    "image": _image_volume,
    "ephemeral": _claim,
    "iscsi": _fixed(iscsiInterface="default"),
    "rbd": _fixed(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": _fixed(cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False),
    "scaleIO": _fixed(storageMode="ThinProvisioned", fsType="xfs"),
}


def _apparmor(obj: JSON, spec: JSON) -> None:
    """The annotations of before 1.30 become fields where no field is set, and say something else than the Pod's."""
    if (spec.get("os") or {}).get("name") == "windows":
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for key, value in ((obj.get("metadata") or {}).get("annotations") or {}).items():
        if not key.startswith(_APPARMOR_PREFIX):
            continue
        for container in all_containers(spec):
            profile = apparmor_profile(value)
            if container.get("name") == key[len(_APPARMOR_PREFIX) :] and profile and profile != of_pod:
                container.setdefault("securityContext", {}).setdefault("appArmorProfile", profile)


def apparmor_profile(text: str) -> JSON | None:
    """The field that says what the annotation says; None if nothing does."""
    name = text.removeprefix("localhost/")
    if name != text:
        return {"type": "Localhost", "localhostProfile": name} if name and name == name.strip() else None
    return {"runtime/default": {"type": "RuntimeDefault"}, "unconfined": {"type": "Unconfined"}}.get(text)


def _secret(obj: JSON) -> None:
    """stringData is write-only: merged over data and dropped."""
    extra = obj.pop("stringData", None)
    if extra:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in extra.items()}
        obj["data"] = dict(sorted({**(obj.get("data") or {}), **encoded}.items()))
    if not obj.get("type"):
        obj["type"] = "Opaque"
    _reorder(obj, "Secret")


def _namespace(obj: JSON) -> None:
    metadata = obj.setdefault("metadata", {})
    if name := metadata.get("name"):
        labels = {**(metadata.get("labels") or {}), NAME_LABEL: name}
        metadata["labels"] = dict(sorted(labels.items()))
        obj["metadata"] = schema.ordered("ObjectMeta", metadata)


def _node(obj: JSON) -> None:
    status = obj.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])
        obj["status"] = schema.ordered("NodeStatus", status)


def _service(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config: JSON = spec.get("sessionAffinityConfig") or {}
        if (config.get("clientIP") or {}).get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}
    spec["type"] = spec.get("type") or "ClusterIP"
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if validation_services.externally_accessible(spec):
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    obj["spec"] = schema.ordered("ServiceSpec", spec)


def _persistent_volume(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    _round_up(spec.get("capacity"))
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    for name in ("hostPath", "iscsi", "rbd", "scaleIO"):
        if name in spec:
            _VOLUMES[name](spec[name])
    obj["spec"] = schema.ordered("PersistentVolumeSpec", spec)


def _persistent_volume_claim(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    for side in ("limits", "requests"):
        _round_up((spec.get("resources") or {}).get(side))
    spec.setdefault("volumeMode", "Filesystem")
    obj["spec"] = schema.ordered("PersistentVolumeClaimSpec", spec)


def _limit_range(obj: JSON) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        for amounts_of in item.values():
            if isinstance(amounts_of, dict):
                _round_up(amounts_of)
    limits.complete(obj)


def _resource_quota(obj: JSON) -> None:
    _round_up((obj.get("spec") or {}).get("hard"))


def _storage_class(obj: JSON) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")
    _reorder(obj, "StorageClass")


def _priority_class(obj: JSON) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
    _reorder(obj, "PriorityClass")


def _reorder(obj: JSON, model: str) -> None:
    members = schema.ordered(model, obj)
    obj.clear()
    obj.update(members)


_SETTERS: dict[str, Callable[[JSON], None]] = {
    "Pod": _pod,
    "Secret": _secret,
    "Namespace": _namespace,
    "Node": _node,
    "Service": _service,
    "LimitRange": _limit_range,
    "ResourceQuota": _resource_quota,
    "PersistentVolume": _persistent_volume,
    "PersistentVolumeClaim": _persistent_volume_claim,
    "StorageClass": _storage_class,
    "PriorityClass": _priority_class,
}

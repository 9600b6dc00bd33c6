"""What this version does not do yet. A Pod that asks for it is not run, and its event names the field: nothing is ignored in silence.

Called by the scheduler before a Pod is bound. Fields that mean nothing on one node (affinity to other Pods, tolerations,
topology spread, priority) are kept and need no entry here.
"""

from __future__ import annotations

from collections.abc import Iterator

from podspace.kube.json import JSON

VOLUME_SOURCES = frozenset({"emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected"})
PROJECTED_SOURCES = frozenset({"configMap", "secret", "downwardAPI"})
_POD_FIELDS = ("runtimeClassName", "resourceClaims", "resources", "hostnameOverride")
_CONTAINER_FIELDS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "volumeDevices", "restartPolicyRules")
_POD_SECURITY = ("seLinuxOptions", "windowsOptions", "appArmorProfile", "fsGroup", "fsGroupChangePolicy", "seLinuxChangePolicy")
_CONTAINER_SECURITY = ("seLinuxOptions", "windowsOptions", "appArmorProfile")
_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})


def unsupported(pod: JSON) -> list[str]:
    """Return the paths of the fields that are set and not honoured yet, in the order of the spec."""
    return list(_walk(pod["spec"]))


def unsupported_in(container: JSON) -> list[str]:
    """The same for one container of a Pod that runs already, with paths relative to it."""
    return [path.removeprefix("container.") for path in _walk_container("container", container, host_network=True)]


def not_enforced(pod: JSON) -> list[str]:
    """Return the paths of limits that are accepted but that nothing holds a container to: those of disk space."""
    found = [
        f"spec.volumes[{index}].emptyDir.sizeLimit"
        for index, volume in enumerate(pod["spec"].get("volumes") or ())
        if (source := volume.get("emptyDir") or {}).get("sizeLimit") and source.get("medium") != "Memory"
    ]
    for field in ("initContainers", "containers"):
        for index, container in enumerate(pod["spec"].get(field) or ()):
            if "ephemeral-storage" in ((container.get("resources") or {}).get("limits") or {}):
                found.append(f"spec.{field}[{index}].resources.limits[ephemeral-storage]")
    return found


def _walk(spec: JSON) -> Iterator[str]:
    yield from (f"spec.{name}" for name in _POD_FIELDS if spec.get(name))
    if spec.get("hostUsers") is False:
        yield "spec.hostUsers"
    if spec.get("activeDeadlineSeconds"):
        yield "spec.activeDeadlineSeconds"
    security = spec.get("securityContext") or {}
    yield from (f"spec.securityContext.{name}" for name in _POD_SECURITY if security.get(name) is not None)
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        yield "spec.os.name"
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _walk_container(f"spec.{field}[{index}]", container, host_network=bool(spec.get("hostNetwork")))
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _walk_volume(f"spec.volumes[{index}]", volume)
    yield from (f"spec.readinessGates[{i}]" for i, _ in enumerate(spec.get("readinessGates") or ()))


def _walk_container(path: str, container: JSON, *, host_network: bool) -> Iterator[str]:
    yield from (f"{path}.{name}" for name in _CONTAINER_FIELDS if container.get(name))
    security = container.get("securityContext") or {}
    yield from (f"{path}.securityContext.{name}" for name in _CONTAINER_SECURITY if security.get(name) is not None)
    if security.get("procMount") == "Unmasked":
        yield f"{path}.securityContext.procMount"
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort") and not host_network:  # there it is the container's own port
            yield f"{path}.ports[{index}].hostPort"
    resources = container.get("resources") or {}
    if resources.get("claims"):
        yield f"{path}.resources.claims"
    for scope in ("limits", "requests"):
        for name in resources.get(scope) or {}:
            if name not in _RESOURCES and not name.startswith("hugepages-"):
                yield f"{path}.resources.{scope}[{name}]"
    for index, item in enumerate(container.get("env") or ()):
        if "fileKeyRef" in (item.get("valueFrom") or {}):
            yield f"{path}.env[{index}].valueFrom.fileKeyRef"
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        yield from (f"{path}.volumeMounts[{index}].{name}" for name in ("subPath", "subPathExpr") if mount.get(name))
        if mount.get("recursiveReadOnly") not in (None, "Disabled"):
            yield f"{path}.volumeMounts[{index}].recursiveReadOnly"


def _walk_volume(path: str, volume: JSON) -> Iterator[str]:
    for source in volume:
        if source != "name" and source not in VOLUME_SOURCES:
            yield f"{path}.{source}"
    if ((volume.get("emptyDir") or {}).get("medium") or "").startswith("HugePages"):
        yield f"{path}.emptyDir.medium"
    for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        yield from (f"{path}.projected.sources[{index}].{name}" for name in source if name not in PROJECTED_SOURCES)

"""Rules of volumes, mounts and block devices.

Called by ``validation_pod`` (volumes) and ``validation_containers`` (mounts). Source: kubernetes pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Callable

from podspace.kube import names, quantity, validation_metadata, validation_storage, validation_volume_sources
from podspace.kube.json import JSON
from podspace.kube.validation_paths import (
    VOLUME_FIELDS,
    descending_path,
    field_ref,
    key_to_path,
    local_path,
    mode,
    resource_ref,
)
from podspace.kube.validation_report import Report

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_SHORTEST_TOKEN_SECONDS = 600
_LONGEST_TOKEN_SECONDS = 1 << 32


def volumes(report: Report, given: list[JSON], pod_name: str, field: str) -> dict[str, JSON]:
    """The volumes that are all right, by name: mounts may refer to those."""
    made = {f"{pod_name}-{volume.get('name', '')}" for volume in given if pod_name and "ephemeral" in volume}
    valid: dict[str, JSON] = {}
    for index, volume in enumerate(given):
        path = f"{field}[{index}]"
        before = len(report.causes)
        _source(report, volume, pod_name, path)
        name = volume.get("name", "")
        if not name:
            report.required(f"{path}.name")
        else:
            report.invalids(f"{path}.name", name, names.label(name))
        if name in valid:
            report.duplicate(f"{path}.name", name)
        if len(report.causes) == before:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if claim in made:
            words = "must not reference a PVC that gets created for an ephemeral volume"
            report.invalid(f"{path}.persistentVolumeClaim.claimName", claim, words)
    return valid


def mounts(report: Report, container: JSON, known: dict[str, JSON], field: str) -> None:
    """``known``: from ``volumes``."""
    devices = container.get("volumeDevices") or []
    device_names = {device.get("name") for device in devices}
    device_paths = {device.get("devicePath") for device in devices}
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here, name, path = f"{field}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            report.required(f"{here}.name")
        if name not in known:
            report.not_found(f"{here}.name", name)
        if not path:
            report.required(f"{here}.mountPath")
        if path in paths:
            report.invalid(f"{here}.mountPath", path, "must be unique")
        paths.add(path)
        if name in device_names:
            report.invalid(f"{here}.name", name, "must not already exist in volumeDevices")
        if path in device_paths:
            report.invalid(f"{here}.mountPath", path, "must not already exist as a path in volumeDevices")
        _mount_options(report, mount, container, field, here)


def devices(report: Report, container: JSON, known: dict[str, JSON], field: str) -> None:
    taken = container.get("volumeMounts") or []
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        here, name, path = f"{field}[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            report.required(f"{here}.name")
        if name in seen_names:
            report.invalid(f"{here}.name", name, "must be unique")
        if name not in known:
            report.not_found(f"{here}.name", name)
        elif not ("persistentVolumeClaim" in known[name] or "ephemeral" in known[name]):
            report.invalid(f"{here}.name", name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode")
        if not path:
            report.required(f"{here}.devicePath")
        if path in seen_paths:
            report.invalid(f"{here}.devicePath", path, "must be unique")
        if ".." in path.split("/"):
            report.invalid(f"{here}.devicePath", path, "can not contain backsteps ('..')")
        else:
            seen_paths.add(path)
        if name:
            seen_names.add(name)
        if any(mount.get("name") == name for mount in taken):
            report.invalid(f"{here}.name", name, "must not already exist in volumeMounts")
        if any(mount.get("mountPath") == path for mount in taken):
            report.invalid(f"{here}.devicePath", path, "must not already exist as a path in volumeMounts")


def _mount_options(report: Report, mount: JSON, container: JSON, field: str, here: str) -> None:
    """These are reported without the mount's index, as Go does."""
    if mount.get("subPath"):
        descending_path(report, mount["subPath"], f"{field}.subPath")
    if mount.get("subPathExpr"):
        if mount.get("subPath"):
            report.invalid(f"{here}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
        descending_path(report, mount["subPathExpr"], f"{field}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        if propagation not in _PROPAGATIONS:
            report.unsupported(f"{field}.mountPropagation", propagation, _PROPAGATIONS)
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            report.forbidden(f"{field}.mountPropagation", "Bidirectional mount propagation is available only to privileged containers")
    _recursive_read_only(report, mount, f"{field}.recursiveReadOnly")


def _recursive_read_only(report: Report, mount: JSON, field: str) -> None:
    value = mount.get("recursiveReadOnly")
    if value in (None, "Disabled"):
        return
    if value not in _RECURSIVE:
        report.unsupported(field, value, _RECURSIVE)
        return
    if not mount.get("readOnly"):
        report.forbidden(field, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        report.forbidden(field, "may only be specified when mountPropagation is None or not specified")


def _source(report: Report, volume: JSON, pod_name: str, field: str) -> None:
    kinds = [kind for kind in volume if kind != "name"]
    kinds.sort(key=lambda kind: _ORDER.index(kind) if kind in _ORDER else len(_ORDER))
    if not kinds:
        report.required(field, "must specify a volume type")
        return
    rule = _RULES.get(kinds[0])
    if rule is not None:
        rule(report, volume[kinds[0]], f"{field}.{_PLACES.get(kinds[0], kinds[0])}")
    for kind in kinds[1:]:
        report.forbidden(f"{field}.{_SHOWN.get(kind, kind)}", "may not specify more than 1 volume type")
    _made_names(report, volume, kinds[0], pod_name, field)


def _made_names(report: Report, volume: JSON, kind: str, pod_name: str, field: str) -> None:
    """What is made of a volume's name must be a name, too."""
    name, iscsi = volume.get("name", ""), volume.get("iscsi") or {}
    if "initiatorName" in iscsi and len(f"{name}:{iscsi.get('targetPortal', '')}") > validation_volume_sources.ISCSI_LIMIT:
        report.invalid(f"{field}.name", name, validation_volume_sources.ISCSI_TOO_LONG)
    if kind == "ephemeral" and pod_name and name:
        claim = f"{pod_name}-{name}"
        report.invalids(f"{field}.name", name, [f'PVC name "{claim}": {problem}' for problem in names.subdomain(claim)])


def _empty_dir(report: Report, source: JSON, field: str) -> None:
    if "sizeLimit" in source and quantity.parse(source["sizeLimit"]).nanos < 0:
        report.forbidden(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _keyed(name_field: str) -> Callable[[Report, JSON, str], None]:
    def rule(report: Report, source: JSON, field: str) -> None:
        if not source.get(name_field):
            report.required(f"{field}.{name_field}")
        mode(report, source.get("defaultMode"), f"{field}.defaultMode")
        for index, item in enumerate(source.get("items") or ()):
            key_to_path(report, item, f"{field}.items[{index}]")

    return rule


def _downward(report: Report, source: JSON, field: str) -> None:
    mode(report, source.get("defaultMode"), f"{field}.defaultMode")
    for item in source.get("items") or ():
        _downward_file(report, item, field)


def _downward_file(report: Report, item: JSON, field: str) -> None:
    """Reported without the item's index, as Go does."""
    if not item.get("path"):
        report.required(f"{field}.path")
    else:
        local_path(report, item["path"], f"{field}.path")
    if "fieldRef" in item:
        field_ref(report, item["fieldRef"], f"{field}.fieldRef", VOLUME_FIELDS)
        if "resourceFieldRef" in item:
            report.invalid(field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif "resourceFieldRef" in item:
        resource_ref(report, item["resourceFieldRef"], f"{field}.resourceFieldRef", in_volume=True)
    else:
        report.required(field, "one of fieldRef and resourceFieldRef is required")
    mode(report, item.get("mode"), f"{field}.mode")


def _image(report: Report, source: JSON, field: str) -> None:
    if not source.get("reference"):
        report.required(f"{field}.reference")
    policy = source.get("pullPolicy")
    if policy and policy not in _PULL_POLICIES:
        report.unsupported(f"{field}.pullPolicy", policy, _PULL_POLICIES)


def _ephemeral(report: Report, source: JSON, field: str) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        report.required(f"{field}.volumeClaimTemplate")
    else:
        _template_metadata(report, template.get("metadata") or {}, f"{field}.volumeClaimTemplate.metadata")
        validation_storage.claim_spec(report, template.get("spec") or {}, f"{field}.volumeClaimTemplate.spec")


def _template_metadata(report: Report, metadata: JSON, field: str) -> None:
    """Labels and annotations are copied into the claim; anything else would be misunderstood."""
    validation_metadata.labels(report, metadata.get("labels") or {}, f"{field}.labels")
    for name in metadata:
        if name not in ("labels", "annotations"):
            report.forbidden(f"{field}.{name}", "cannot be set")


def _projected(report: Report, source: JSON, field: str) -> None:
    mode(report, source.get("defaultMode"), f"{field}.defaultMode")
    paths: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        here = f"{field}.sources[{index}]"
        for kind in ("secret", "configMap"):
            if kind in part:
                _projected_keys(report, part[kind], f"{here}.{kind}", field, paths)
        for item in (part.get("downwardAPI") or {}).get("items") or ():
            _downward_file(report, item, f"{here}.downwardAPI")
            _claim_path(report, item.get("path", ""), item.get("path", ""), field, paths)
        if "serviceAccountToken" in part:
            _token(report, part["serviceAccountToken"], f"{here}.serviceAccountToken", field)
        if len(part) > 1:
            report.forbidden(here, "may not specify more than 1 volume type per source")


def _projected_keys(report: Report, source: JSON, here: str, field: str, paths: set[str]) -> None:
    name = source.get("name", "")
    if not name:
        report.required(f"{here}.name")
    for index, item in enumerate(source.get("items") or ()):
        key_to_path(report, item, f"{here}.items[{index}]")
        _claim_path(report, item.get("path", ""), name, field, paths)


def _token(report: Report, token: JSON, here: str, field: str) -> None:
    """A token's path is reported without its source's, and may be another's, as Go has it."""
    seconds = token.get("expirationSeconds", _SHORTEST_TOKEN_SECONDS)
    if seconds < _SHORTEST_TOKEN_SECONDS:
        report.invalid(f"{here}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds > _LONGEST_TOKEN_SECONDS:
        report.invalid(f"{here}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not token.get("path"):
        report.required(f"{field}.path")
    else:
        local_path(report, token["path"], f"{field}.path")


def _claim_path(report: Report, path: str, shown: str, field: str, paths: set[str]) -> None:
    if path and path in paths:
        report.invalid(field, shown, "conflicting duplicate paths")
    paths.add(path)


# The order in which a real server looks at them: the first one found is the volume's, the others are one too many.
_ORDER = (
    *("emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs", "flocker"),
    *("persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile"),
    *("vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral"),
    "image",
)
_PLACES = {"gcePersistentDisk": "persistentDisk"}
_SHOWN = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}  # how a real server spells the ones that are one too many
_RULES: dict[str, validation_volume_sources.Rule] = {
    **validation_volume_sources.RULES,
    "emptyDir": _empty_dir,
    "hostPath": validation_volume_sources.host_path,
    "secret": _keyed("secretName"),
    "configMap": _keyed("name"),
    "persistentVolumeClaim": validation_volume_sources.needs("claimName"),
    "downwardAPI": _downward,
    "projected": _projected,
    "ephemeral": _ephemeral,
    "image": _image,
}

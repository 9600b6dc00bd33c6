"""Rules of PersistentVolumeClaims, PersistentVolumes and StorageClasses, and of their updates.

Called by ``validation``; the claim's spec also by ``validation_volumes`` for ephemeral volumes.
Source: kubernetes pkg/apis/core/validation, pkg/apis/storage/validation.
"""

from __future__ import annotations

import copy
import posixpath

from podspace.kube import names, quantity, schema, storage, validation_scheduling, validation_volume_sources
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import IMMUTABLE
from podspace.kube.validation_report import Report, difference

SINGLE_POD = "ReadWriteOncePod"
_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", SINGLE_POD)
_VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
# The order in which a real server looks at them.
_SOURCES = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs", "iscsi"),
    *("cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO"),
    *("local", "storageos", "csi"),
)
_NO_SOURCES = frozenset(
    ("accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy", "storageClassName")
) | {"volumeAttributesClassName", "volumeMode"}


def claim(report: Report, obj: JSON) -> None:
    """A PersistentVolumeClaim."""
    claim_spec(report, obj.get("spec") or {}, "spec")


def claim_spec(report: Report, spec: JSON, field: str) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        report.required(f"{field}.accessModes", "at least 1 access mode is required")
    if "selector" in spec:
        validation_scheduling.label_selector(report, spec["selector"], f"{field}.selector")
    _access_modes(report, modes, f"{field}.accessModes")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        report.required(f"{field}.resources[storage]")
    else:
        _positive(report, size, f"{field}.resources[storage]")
    if name := spec.get("storageClassName"):
        report.invalids(f"{field}.storageClassName", name, names.subdomain(name))
    _volume_mode(report, spec, field)
    _data_sources(report, spec, field)
    if name := spec.get("volumeAttributesClassName"):
        report.invalids(f"{field}.volumeAttributesClassName", name, names.subdomain(name))


def _data_sources(report: Report, spec: JSON, field: str) -> None:
    """What a real server drops (``storage.is_dropped``) it does not judge either."""
    source, reference = (None if storage.is_dropped(spec, name) else spec.get(name) for name in ("dataSource", "dataSourceRef"))
    for name, given in (("dataSource", source), ("dataSourceRef", reference)):
        if given is not None:
            _data_source(report, given, f"{field}.{name}")
    if source is None or reference is None:
        return
    if any(source.get(name) != reference.get(name) for name in ("apiGroup", "kind", "name")):
        report.invalid(field, {}, "must match dataSourceRef")  # Go shows a path there, which has no JSON


def _data_source(report: Report, source: JSON, field: str) -> None:
    for name in ("name", "kind"):
        if not source.get(name):
            report.required(f"{field}.{name}")
    if group := source.get("apiGroup"):
        report.invalids(f"{field}.apiGroup", group, names.subdomain(group))
    elif source.get("kind") != "PersistentVolumeClaim":
        report.invalid(field, source.get("kind", ""), "must be 'PersistentVolumeClaim' when referencing the default apiGroup")


def claim_update(report: Report, new: JSON, old: JSON) -> None:
    """A claim may grow once it is bound, and be given a class or a volume where it has none; nothing else changes."""
    claim(report, new)
    after, before = copy.deepcopy(new.get("spec") or {}), old.get("spec") or {}
    bound = (new.get("status") or {}).get("phase") == "Bound"
    for field in ("volumeName", "storageClassName"):
        if field not in before or (field == "volumeName" and not before[field]):
            after.pop(field, None)
    if bound and "volumeAttributesClassName" in before:
        after["volumeAttributesClassName"] = before["volumeAttributesClassName"]
    is_now, was = (((spec.get("resources") or {}).get("requests") or {}).get("storage") for spec in (after, before))
    if bound and is_now is not None and was is not None:
        after["resources"]["requests"]["storage"] = was
    kept = {name: value for name, value in before.items() if name != "volumeName" or value}
    if after != kept:
        words = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        report.forbidden("spec", f"{words}\n{difference(kept, after)}")
    if is_now and was and quantity.parse(is_now).nanos < quantity.parse(was).nanos:
        capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
        if quantity.parse(is_now).nanos <= quantity.parse(capacity).nanos:
            report.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def volume(report: Report, obj: JSON) -> None:
    """A PersistentVolume."""
    spec = obj.get("spec") or {}
    modes, capacity = spec.get("accessModes") or [], spec.get("capacity") or {}
    if not modes:
        report.required("spec.accessModes")
    _access_modes(report, modes, "spec.accessModes")
    if not capacity:
        report.required("spec.capacity")
    if set(capacity) != {"storage"}:
        report.unsupported("spec.capacity", capacity or None, ("storage",))
    for name, amount in capacity.items():
        _positive(report, amount, f"spec.capacity[{name}]")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in _RECLAIM_POLICIES:
        report.unsupported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES)
    if "nodeAffinity" in spec:
        _place(report, spec["nodeAffinity"], "spec.nodeAffinity")
    _sources(report, spec, (obj.get("metadata") or {}).get("name", ""))
    if posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".").lstrip("/") == "" and policy == "Recycle":
        report.forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    if name := spec.get("storageClassName"):
        report.invalids("spec.storageClassName", name, names.subdomain(name))
    _volume_mode(report, spec, "spec")
    _attributes(report, spec)


def _place(report: Report, affinity: JSON, field: str) -> None:
    if "required" in affinity:
        validation_scheduling.node_selector(report, affinity["required"], f"{field}.required")
    else:
        report.required(f"{field}.required", "must specify required node constraints")


def _attributes(report: Report, spec: JSON) -> None:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return
    if not name:
        report.required("spec.volumeAttributesClassName", "an empty string is disallowed")
    else:
        report.invalids("spec.volumeAttributesClassName", name, names.subdomain(name))
    if "csi" not in spec:
        report.required("spec.csi", "has to be specified when using volumeAttributesClassName")


def volume_update(report: Report, new: JSON, old: JSON) -> None:
    volume(report, new)
    before, after = ({name: value for name, value in (one.get("spec") or {}).items() if name not in _NO_SOURCES} for one in (old, new))
    if before != after:
        words = "spec.persistentvolumesource is immutable after creation"
        report.forbidden("spec.persistentvolumesource", f"{words}\n{difference(before, after)}")
    old_mode, new_mode = ((one.get("spec") or {}).get("volumeMode") for one in (old, new))
    if old_mode != new_mode:
        report.invalid("volumeMode", new_mode, IMMUTABLE)
    was, is_now = ((one.get("spec") or {}).get("nodeAffinity") for one in (old, new))
    if was is not None and was != is_now:
        report.invalid("nodeAffinity", _go_affinity(is_now), f"{IMMUTABLE}, except for updating from beta label to GA")


def _go_affinity(affinity: JSON | None) -> JSON | None:
    """As Go shows the struct."""
    if affinity is None:
        return None
    required = affinity.get("required")
    terms = [validation_scheduling.go_term(term) for term in (required or {}).get("nodeSelectorTerms") or ()]
    return {"Required": None if required is None else {"NodeSelectorTerms": terms}}


def storage_class(report: Report, obj: JSON) -> None:
    provisioner = obj.get("provisioner") or ""
    if not provisioner:
        report.required("provisioner", provisioner)
    else:
        report.invalids("provisioner", provisioner, names.qualified(provisioner.lower()))
    if any(not key for key in obj.get("parameters") or ()):
        report.invalid("parameters", "", "field can not be empty.")
    policy = obj.get("reclaimPolicy")
    if policy and policy not in ("Delete", "Retain"):
        report.unsupported("reclaimPolicy", policy, ("Delete", "Retain"))
    mode = obj.get("volumeBindingMode")
    if mode not in _BINDING_MODES:
        report.unsupported("volumeBindingMode", mode, _BINDING_MODES)
    _topologies(report, obj.get("allowedTopologies") or [])


def _topologies(report: Report, terms: list[JSON]) -> None:
    """Terms that say the same are one too many; one without expressions is the same as none."""
    before: list[dict[str, set[str]]] = [{} for _ in terms]
    for index, term in enumerate(terms):
        path, listed = f"allowedTopologies[{index}].matchLabelExpressions", {}
        for place, requirement in enumerate(term.get("matchLabelExpressions") or ()):
            here, key, values = f"{path}[{place}]", requirement.get("key", ""), requirement.get("values") or []
            if not values:
                report.required(f"{here}.values")
            for number, value in enumerate(values):
                if value in values[:number]:
                    report.duplicate(f"{here}.values[{number}]", value)
            report.invalids(f"{here}.key", key, names.qualified(key))
            if key in listed:
                report.duplicate(f"{here}.key", key)
            listed[key] = set(values)
        for _ in [other for other in before if other == listed]:
            report.duplicate(path, "")
        before.append(listed)


def storage_class_update(report: Report, new: JSON, old: JSON) -> None:
    storage_class(report, new)
    for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if (new.get(field) or None) != (old.get(field) or None):
            report.invalid(field, new.get(field, "" if field == "provisioner" else None), IMMUTABLE)


def sources_of(spec: JSON) -> list[str]:
    """What kinds of volume a PersistentVolume says it is; one, if it is valid."""
    return [name for name in schema.fields("PersistentVolumeSpec") if name in spec and name not in _NO_SOURCES]


def _sources(report: Report, spec: JSON, name: str) -> None:
    kinds = [kind for kind in _SOURCES if kind in spec]
    if not kinds:
        report.required("spec", "must specify a volume type")
    for kind in kinds:
        if kind not in (kinds[0], "flexVolume"):  # that one is never one too many
            report.forbidden(f"spec.{'cephFS' if kind == 'cephfs' else kind}", "may not specify more than 1 volume type")
            continue
        place = f"spec.{'persistentDisk' if kind == 'gcePersistentDisk' else kind}"
        validation_volume_sources.PERSISTENT_RULES[kind](report, spec[kind], place)
        if kind == "iscsi":
            validation_volume_sources.iscsi_portal(report, spec[kind], name, place)
        if kind == "local" and "nodeAffinity" not in spec:
            report.required("spec.nodeAffinity", "Local volume requires node affinity")


def _access_modes(report: Report, modes: list[str], field: str) -> None:
    for mode in modes:
        if mode not in _ACCESS_MODES:
            report.unsupported(field, mode, _ACCESS_MODES)
    if SINGLE_POD in modes and len(set(modes)) > 1:
        report.forbidden(field, f"may not use {SINGLE_POD} with other access modes")


def _volume_mode(report: Report, spec: JSON, field: str) -> None:
    mode = spec.get("volumeMode")
    if mode is not None and mode not in _VOLUME_MODES:
        report.unsupported(f"{field}.volumeMode", mode, _VOLUME_MODES)


def _positive(report: Report, amount: str, field: str) -> None:
    if quantity.parse(amount).nanos <= 0:
        report.invalid(field, amount, "must be greater than zero")

"""Whether an object obeys the rules of its kind: every cause in the order and the words of a real API server.

Called by ``api`` after defaulting and admission. Pure. The rules are in the ``validation_*`` modules; this one only knows which
belong to which kind. Objects must be canonical (``decode``, ``strict.normalize``) and defaulted.
Source: kubernetes pkg/apis/core/validation 1.36.
"""

from __future__ import annotations

from collections.abc import Callable

from podspace import errors
from podspace.kube import (
    names,
    resources,
    services,
    tls_pair,
    validation_classes,
    validation_kinds,
    validation_limits,
    validation_metadata,
    validation_pod,
    validation_services,
    validation_storage,
    validation_update,
    validation_warnings,
)
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

_NAME_RULES: dict[str, names.Rule] = {"Namespace": names.label, "Service": names.label}
_CHECKED_AGAIN = frozenset(  # kinds whose rules for updates include those for new ones' metadata
    (
        *("Pod", "ConfigMap", "Secret", "ServiceAccount", "LimitRange"),
        *("PersistentVolume", "PersistentVolumeClaim", "StorageClass", "RuntimeClass"),
    )
)
_PLAIN_FINALIZERS = frozenset({"Lease", "RuntimeClass"})
_CREATE: dict[str, Callable[[Report, JSON], None]] = {
    "Pod": validation_pod.spec_rules,
    "ConfigMap": validation_kinds.config_map,
    "Secret": validation_kinds.secret,
    "Event": validation_kinds.event,
    "Node": validation_kinds.node,
    "Lease": validation_kinds.lease,
    "LimitRange": validation_limits.limit_range,
    "Namespace": validation_kinds.namespace,
    "ResourceQuota": validation_limits.quota,
    "Service": validation_services.service,
    "PersistentVolume": validation_storage.volume,
    "PersistentVolumeClaim": validation_storage.claim,
    "PriorityClass": validation_classes.priority_class,
    "RuntimeClass": validation_classes.runtime_class,
    "StorageClass": validation_storage.storage_class,
}
_UPDATE: dict[tuple[str, str], Callable[[Report, JSON, JSON], None]] = {
    ("Pod", ""): validation_update.pod,
    ("Pod", "status"): validation_update.status,
    ("Pod", "ephemeralcontainers"): validation_update.ephemeral_containers,
    ("Pod", "resize"): validation_update.resize,
    ("ConfigMap", ""): validation_kinds.config_map_update,
    ("Secret", ""): validation_kinds.secret_update,
    ("Node", ""): validation_kinds.node_update,
    ("LimitRange", ""): lambda report, new, _: validation_limits.limit_range(report, new),
    ("ResourceQuota", ""): validation_limits.quota_update,
    ("Service", ""): validation_services.service_update,
    ("PersistentVolume", ""): validation_storage.volume_update,
    ("PersistentVolumeClaim", ""): validation_storage.claim_update,
    ("PriorityClass", ""): validation_classes.priority_class_update,
    ("RuntimeClass", ""): validation_classes.runtime_class_update,
    ("StorageClass", ""): validation_storage.storage_class_update,
}


def validate_create(kind: str, obj: JSON) -> list[errors.Cause]:
    """Causes why a new object is refused; [] if it is fine."""
    report = Report()
    _metadata(report, kind, obj)
    rules = _CREATE.get(kind)
    if rules is not None:
        rules(report, obj)
    if kind == "Pod":
        validation_pod.create(report, obj)
    return report.causes


def validate_update(kind: str, new: JSON, old: JSON, subresource: str = "") -> list[errors.Cause]:
    """Causes why ``old`` may not become ``new`` by the path of ``subresource`` ("" = the main one); [] if it may."""
    report = Report()
    plain = kind in _PLAIN_FINALIZERS
    _metadata(report, kind, new, any_kind=True)
    validation_metadata.validate_update(report, new.get("metadata") or {}, old.get("metadata") or {}, plain_finalizers=plain)
    if kind in _CHECKED_AGAIN and (kind, subresource) != ("Pod", "status"):
        _metadata(report, kind, new)
    rules = _UPDATE.get((kind, subresource))
    if rules is not None:
        rules(report, new, old)
    return report.causes


_STORAGE = ("PersistentVolume", "PersistentVolumeClaim")


def warnings(kind: str, obj: JSON) -> list[str]:
    """Texts for Warning headers about an object that is accepted."""
    if kind == "Service":
        own = (obj.get("spec") or {}).get("clusterIP") == services.API_ADDRESS
        return [*validation_services.warnings(obj), *(() if own else (services.WARNING,))]
    if kind == "Secret" and obj.get("type") == "kubernetes.io/tls":
        data = obj.get("data") or {}
        words = tls_pair.complaint(data.get("tls.crt", ""), data.get("tls.key", ""))
        return [words] if words else []
    return validation_warnings.pod(obj) if kind == "Pod" else validation_warnings.storage(obj) if kind in _STORAGE else []


def _metadata(report: Report, kind: str, obj: JSON, *, any_kind: bool = False) -> None:
    """``any_kind``: what a server asks of all objects before it looks at the rules of the kind."""
    resource = resources.by_kind(kind)
    namespaced = resource is None or resource.namespaced
    rule = names.path_segment if any_kind else _NAME_RULES.get(kind, names.subdomain)
    plain = any_kind or kind in _PLAIN_FINALIZERS
    validation_metadata.validate(report, obj.get("metadata") or {}, rule, namespaced=namespaced, plain_finalizers=plain)

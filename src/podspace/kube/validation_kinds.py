"""Rules of the kinds besides Pod: ConfigMap, Secret, Namespace, Node, Event, ServiceAccount, and their updates.

Called by ``validation``. Secret values are never shown. Source: kubernetes pkg/apis/core/validation.
"""

from __future__ import annotations

import base64
import binascii
import json

from podspace.kube import names, validation_metadata
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import IMMUTABLE
from podspace.kube.validation_report import Report

SIZE_LIMIT = 1024 * 1024
_REDACTED = "<secret contents redacted>"
_SECRET_KEYS = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_DOCKER_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
TOKEN_TYPE = "kubernetes.io/service-account-token"
TOKEN_ANNOTATION = "kubernetes.io/service-account.name"
_BASIC_AUTH = "kubernetes.io/basic-auth"
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def config_map(report: Report, obj: JSON) -> None:
    text, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in text.items():
        report.invalids(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            report.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value.encode())
    for key, value in binary.items():
        report.invalids(f"binaryData[{key}]", key, names.config_key(key))
        size += _decoded_size(value)
    if size > SIZE_LIMIT:
        report.too_long("[]", SIZE_LIMIT)


def config_map_update(report: Report, new: JSON, old: JSON) -> None:
    if old.get("immutable"):
        if not new.get("immutable"):
            report.forbidden("immutable", "field is immutable when `immutable` is set")
        for name in ("data", "binaryData"):
            if (new.get(name) or {}) != (old.get(name) or {}):
                report.forbidden(name, "field is immutable when `immutable` is set")
    config_map(report, new)


def secret(report: Report, obj: JSON) -> None:
    data: JSON = obj.get("data") or {}
    for key in data:
        report.invalids(f"data[{key}]", key, names.config_key(key))
    if sum(_decoded_size(value) for value in data.values()) > SIZE_LIMIT:
        report.too_long("data", SIZE_LIMIT)
    kind = obj.get("type", "")
    if kind == TOKEN_TYPE and not ((obj.get("metadata") or {}).get("annotations") or {}).get(TOKEN_ANNOTATION):
        report.required(f"metadata.annotations[{TOKEN_ANNOTATION}]")
    elif kind in _DOCKER_KEYS:
        _docker_config(report, data, _DOCKER_KEYS[kind])
    elif kind == _BASIC_AUTH and not ("username" in data or "password" in data):
        report.required("data[username]")
        report.required("data[password]")
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            report.required(f"data[{key}]")


def secret_update(report: Report, new: JSON, old: JSON) -> None:
    if new.get("type", "") != old.get("type", ""):
        report.invalid("type", new.get("type", ""), IMMUTABLE)
    if old.get("immutable"):
        if not new.get("immutable"):
            report.forbidden("immutable", "field is immutable when `immutable` is set")
        if (new.get("data") or {}) != (old.get("data") or {}):
            report.forbidden("data", "field is immutable when `immutable` is set")
    secret(report, new)


def namespace(report: Report, obj: JSON) -> None:
    for name in (obj.get("spec") or {}).get("finalizers") or ():
        report.invalids("spec.finalizers", name, names.qualified(name))
        validation_metadata.standard_finalizer(report, name, "spec.finalizers")


def event(report: Report, obj: JSON) -> None:
    """The object an event is about lives in the event's namespace; cluster-scoped ones are filed under default."""
    namespace = (obj.get("metadata") or {}).get("namespace", "")
    about = (obj.get("involvedObject") or {}).get("namespace", "")
    if about != namespace and not (not about and namespace in ("default", "kube-system", "")):
        report.invalid("involvedObject.namespace", about, "does not match event.namespace")


def node(report: Report, obj: JSON) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate((obj.get("spec") or {}).get("taints") or ()):
        path, key, effect = f"metadata.taints[{index}]", taint.get("key", ""), taint.get("effect", "")
        report.invalids(f"{path}.key", key, names.qualified(key))
        report.invalids(f"{path}.value", taint.get("value", ""), names.label_value(taint.get("value", "")))
        report.one_of(f"{path}.effect", effect, _TAINT_EFFECTS)
        if (key, effect) in seen:
            report.duplicate(path, f"{key}:{effect}")
        seen.add((key, effect))


def node_update(report: Report, new: JSON, old: JSON) -> None:
    for name in ("providerID", "podCIDR"):
        before, after = ((one.get("spec") or {}).get(name, "") for one in (old, new))
        if before and before != after:
            report.forbidden(f"spec.{name}", f'node updates may not change {name} except from "" to valid')
    node(report, new)


def lease(report: Report, obj: JSON) -> None:
    spec: JSON = obj.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        report.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    report.at_least_zero("spec.leaseTransitions", spec.get("leaseTransitions"))


def _docker_config(report: Report, data: JSON, key: str) -> None:
    if key not in data:
        report.required(f"data[{key}]")
        return
    try:
        json.loads(base64.b64decode(data[key]))
    except (ValueError, binascii.Error):
        report.invalid(f"data[{key}]", _REDACTED, "invalid character in the JSON of the registry credentials")


def _decoded_size(encoded: str) -> int:
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")

"""Rules of PriorityClass and RuntimeClass. Called by ``validation``.

Source: kubernetes pkg/apis/scheduling/validation, pkg/apis/node/validation.
"""

from __future__ import annotations

from podspace.kube import names, validation_resources, validation_scheduling
from podspace.kube.admission_classes import SYSTEM_CLASSES
from podspace.kube.json import JSON
from podspace.kube.validation_metadata import IMMUTABLE, labels
from podspace.kube.validation_report import Report

HIGHEST_USER_PRIORITY = 1_000_000_000
_POLICIES = ("PreemptLowerPriority", "Never")
_TOLERATION = ("key", "operator", "value", "effect")
_RESERVED = "priority class names with 'system-' prefix are reserved for system use only. error: "


def priority_class(report: Report, obj: JSON) -> None:
    name, value = (obj.get("metadata") or {}).get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if why := _no_system_class(name, value, default=bool(obj.get("globalDefault"))):
            report.forbidden("metadata.name", _RESERVED + why)
    elif value > HIGHEST_USER_PRIORITY:
        report.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}")
    policy = obj.get("preemptionPolicy")
    if policy is not None:
        report.one_of("preemptionPolicy", policy, _POLICIES)


def priority_class_update(report: Report, new: JSON, old: JSON) -> None:
    if new.get("value", 0) != old.get("value", 0):
        report.forbidden("value", "may not be changed in an update.")
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        report.invalid("preemptionPolicy", new.get("preemptionPolicy"), IMMUTABLE)


def _no_system_class(name: str, value: int, *, default: bool) -> str:
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def runtime_class(report: Report, obj: JSON) -> None:
    if not obj.get("handler"):
        report.required("handler")
    else:
        report.invalids("handler", obj["handler"], names.label(obj["handler"]))
    if overhead := obj.get("overhead"):
        validation_resources.overhead(report, overhead.get("podFixed") or {}, "overhead")
    if scheduling := obj.get("scheduling"):
        labels(report, scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
        tolerations: list[JSON] = scheduling.get("tolerations") or []
        validation_scheduling.tolerations(report, tolerations, "scheduling.tolerations")
        seen: list[list[str]] = []
        for index, toleration in enumerate(tolerations):
            key = [toleration.get(name, "") for name in _TOLERATION]
            if key in seen:
                shown = dict(zip((name.title() for name in _TOLERATION), key, strict=True))
                seconds = toleration.get("tolerationSeconds")
                report.duplicate(f"scheduling.tolerations[{index}]", {**shown, "TolerationSeconds": seconds})
            seen.append(key)


def runtime_class_update(report: Report, new: JSON, old: JSON) -> None:
    runtime_class(report, new)
    if new.get("handler") != old.get("handler"):
        report.invalid("handler", new.get("handler", ""), IMMUTABLE)

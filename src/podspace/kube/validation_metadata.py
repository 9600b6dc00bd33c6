"""Rules of metadata, the same for every kind: names, labels, annotations, owners, finalizers, and what an update may not change.

Called by ``validation`` with the name rule of the kind. Source: apimachinery api/validation/objectmeta.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podspace.kube import names
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

ANNOTATIONS_LIMIT = 256 * 1024
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
IMMUTABLE = "field is immutable"
_UNCHANGEABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate(report: Report, metadata: JSON, name_rule: names.Rule, *, namespaced: bool, plain_finalizers: bool = False) -> None:
    """Rules of a new or an updated object's metadata. ``plain_finalizers``: any word may be one, as in the groups besides core."""
    _names(report, metadata, name_rule)
    namespace = metadata.get("namespace", "")
    if namespaced:
        report.invalids("metadata.namespace", namespace, names.label(namespace) if namespace else ())
    elif namespace:
        report.forbidden("metadata.namespace", "not allowed on this type")
    report.at_least_zero("metadata.generation", metadata.get("generation"))
    labels(report, metadata.get("labels") or {}, "metadata.labels")
    _annotations(report, metadata.get("annotations") or {})
    _owners(report, metadata.get("ownerReferences") or [])
    finalizers: list[str] = metadata.get("finalizers") or []
    _finalizers(report, finalizers, "metadata.finalizers")
    for index, name in enumerate(() if plain_finalizers else finalizers):
        standard_finalizer(report, name, f"metadata.finalizers[{index}]")


def validate_update(report: Report, new: JSON, old: JSON, *, plain_finalizers: bool = False) -> None:
    """What may not change. A real server checks twice (once for all kinds, once for the kind), so each cause comes twice."""
    for _ in range(2):
        _update_once(report, new, old)
    for index, name in enumerate(() if plain_finalizers else new.get("finalizers") or ()):
        standard_finalizer(report, name, f"metadata.finalizers[{index}]")


def labels(report: Report, values: Mapping[str, str], field: str) -> None:
    """Keys and values of labels or of a selector made of them."""
    for key, value in values.items():
        report.invalids(field, key, names.qualified(key))
        report.invalids(field, value, names.label_value(value))


def _names(report: Report, metadata: JSON, rule: names.Rule) -> None:
    generate = metadata.get("generateName", "")
    if generate:
        masked = generate[:-1] + "a" if len(generate) > 1 and generate.endswith("-") else generate
        report.invalids("metadata.generateName", generate, rule(masked))
    name = metadata.get("name", "")
    if not name:
        report.required("metadata.name", "name or generateName is required")
    else:
        report.invalids("metadata.name", name, rule(name))


def _annotations(report: Report, values: Mapping[str, str]) -> None:
    size = 0
    for key, value in values.items():
        report.invalids("metadata.annotations", key, names.qualified(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        report.too_long("metadata.annotations", ANNOTATIONS_LIMIT)


def _owners(report: Report, owners: list[JSON]) -> None:
    field = "metadata.ownerReferences"
    controller = ""
    for owner in owners:
        if not owner.get("apiVersion", "").rpartition("/")[2] or owner["apiVersion"].count("/") > 1:
            report.invalid(f"{field}.apiVersion", owner.get("apiVersion", ""), "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not owner.get(name):
                report.invalid(f"{field}.{name}", owner.get(name, ""), "must not be empty")
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            report.invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            this = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                found = f'Found "true" in references for {controller} and {this}'
                report.invalid(field, owners, f"Only one reference can have Controller set to true. {found}")
            controller = controller or this


def _finalizers(report: Report, finalizers: list[str], field: str) -> None:
    for name in finalizers:
        report.invalids(field, name, names.qualified(name))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        report.invalid(field, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")


def standard_finalizer(report: Report, name: str, field: str) -> None:
    """A name without a domain must be one of Kubernetes' own."""
    if "/" not in name and name not in STANDARD_FINALIZERS:
        report.invalid(field, name, "name is neither a standard finalizer name nor is it fully qualified")


def _update_once(report: Report, new: JSON, old: JSON) -> None:
    if old.get("deletionTimestamp"):
        _no_new_finalizers(report, new, old)
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        report.invalid("metadata.generation", new.get("generation") or 0, "must not be decremented")
    for name in _UNCHANGEABLE:
        value: Any = new.get(name)
        if value != old.get(name):
            report.invalid(f"metadata.{name}", value, IMMUTABLE)
    labels(report, new.get("labels") or {}, "metadata.labels")
    _annotations(report, new.get("annotations") or {})
    _owners(report, new.get("ownerReferences") or [])


def _no_new_finalizers(report: Report, new: JSON, old: JSON) -> None:
    added = [name for name in new.get("finalizers") or () if name not in (old.get("finalizers") or ())]
    if added:
        listed = ", ".join(f'"{name}"' for name in added)
        message = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
        report.forbidden("metadata.finalizers", message)

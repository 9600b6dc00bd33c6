"""Annotations of Pods that mean something: static Pods, the cost of deletion, seccomp and AppArmor as they were before there were fields.

Called by ``validation_pod``. Source: kubernetes pkg/apis/core/validation, ValidatePodSpecificAnnotations and its siblings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from podspace.kube.json import JSON
from podspace.kube.validation_paths import MAX_INT32, descending_path
from podspace.kube.validation_report import Report

MIRROR = "kubernetes.io/config.mirror"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_LOCALHOST = "localhost/"
_SECCOMP_VALUES = {"RuntimeDefault": ("runtime/default", "docker/default"), "Unconfined": ("unconfined",)}
_APPARMOR_VALUES = {"RuntimeDefault": ("runtime/default",), "Unconfined": ("unconfined",)}
_COST = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)


def of_pod(report: Report, annotations: JSON, spec: JSON) -> None:
    field = "metadata.annotations"
    if MIRROR in annotations and not spec.get("nodeName"):
        report.invalid(f"{field}[{MIRROR}]", annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set")
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (_COST.fullmatch(cost) and -MAX_INT32 - 1 <= int(cost) <= MAX_INT32):
        report.invalid(f"{field}[{_DELETION_COST}]", cost, "must be a 32bit integer")
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            _seccomp(report, value, f"{field}.{key}")
    named = {container.get("name", "") for _, container in _containers(spec)}
    for key, value in annotations.items():
        if key.startswith(APPARMOR):
            _apparmor(report, value, key.removeprefix(APPARMOR), named, f"{field}[{key}]")


def update(report: Report, after: JSON, before: JSON, spec: JSON) -> None:
    """What an update may not do to them, and the rules of all."""
    for key, value in before.items():
        if after.get(key) != value and key.startswith(APPARMOR):
            report.forbidden(f"metadata.annotations[{key}]", "may not remove or update AppArmor annotations")
        if after.get(key) != value and key == MIRROR:
            report.forbidden(f"metadata.annotations[{key}]", "may not remove or update mirror pod annotation")
    for key in after:
        if key not in before and key.startswith(APPARMOR):
            report.forbidden(f"metadata.annotations[{key}]", "may not add AppArmor annotations")
        if key not in before and key == MIRROR:
            report.forbidden(f"metadata.annotations[{key}]", "may not add mirror pod annotation")
    of_pod(report, after, spec)


def seccomp_fields(report: Report, annotations: JSON, spec: JSON) -> None:
    """Where a new Pod says it both ways, it says the same."""
    for key, path, holder in (
        (SECCOMP_POD, "spec", spec),
        *((SECCOMP_CONTAINER + container.get("name", ""), path, container) for path, container in _containers(spec)),
    ):
        profile = (holder.get("securityContext") or {}).get("seccompProfile")
        if profile is not None and key in annotations:
            _same(report, profile, annotations[key], _SECCOMP_VALUES, "seccomp", f"{path}.securityContext.seccompProfile")


def apparmor_fields(report: Report, annotations: JSON, spec: JSON) -> None:
    """The same of AppArmor, where a container without a profile has the Pod's."""
    of_all = (spec.get("securityContext") or {}).get("appArmorProfile")
    for path, container in _containers(spec):
        profile = (container.get("securityContext") or {}).get("appArmorProfile", of_all)
        key = APPARMOR + container.get("name", "")
        if profile is not None and key in annotations:
            _same(report, profile, annotations[key], _APPARMOR_VALUES, "apparmor", f"{path}.securityContext.appArmorProfile")


def _containers(spec: JSON) -> Iterator[tuple[str, JSON]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def _seccomp(report: Report, value: str, field: str) -> None:
    if value.startswith(_LOCALHOST):
        descending_path(report, value.removeprefix(_LOCALHOST), field)
    elif not any(value in known for known in _SECCOMP_VALUES.values()):
        report.invalid(field, value, "must be a valid seccomp profile")


def _apparmor(report: Report, value: str, container: str, named: set[str], field: str) -> None:
    if container not in named:
        report.invalid(field, container, "container not found")
    if value and value not in ("runtime/default", "unconfined") and not value.startswith(_LOCALHOST):
        report.invalid(field, value, f'invalid AppArmor profile name: "{value}"')


def _same(report: Report, profile: JSON, value: str, known: Mapping[str, tuple[str, ...]], what: str, field: str) -> None:
    kind = profile.get("type", "")
    if kind == "Localhost" and value.startswith(_LOCALHOST):
        if profile.get("localhostProfile") != value.removeprefix(_LOCALHOST):
            report.forbidden(f"{field}.localhostProfile", f"{what} profile in annotation and field must match")
    elif kind in ("Localhost", *known) and value not in known.get(kind, ()):
        report.forbidden(f"{field}.type", f"{what} type in annotation and field must match")

"""Small rules that several parts of a Pod share: relative paths, file modes, ports, keys to paths, references to fields.

Used by the ``validation_*`` modules. Source: kubernetes pkg/apis/core/validation.
"""

from __future__ import annotations

from podspace.kube import names, quantity
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

_SUBSCRIPTED = ("metadata.annotations", "metadata.labels")
ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_FIELD_LABELS = frozenset((*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "spec.host", "status.phase"))
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_DIVIDED = {resource: resource.partition(".")[2].replace("ephemeral-storage", "local ephemeral storage") for resource in _RESOURCES}
_SIZE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
MAX_INT32 = 2**31 - 1


def descending_path(report: Report, path: str, field: str) -> None:
    """Relative, and never up."""
    if path.startswith("/"):
        report.invalid(field, path, "must be a relative path")
    no_backsteps(report, path, field)


def no_backsteps(report: Report, path: str, field: str) -> None:
    if ".." in path.split("/"):
        report.invalid(field, path, "must not contain '..'")


def local_path(report: Report, path: str, field: str) -> None:
    """A descending path that does not begin with two dots: those names are the kubelet's."""
    descending_path(report, path, field)
    if path.startswith("..") and not path.startswith("../"):
        report.invalid(field, path, "must not start with '..'")


def mode(report: Report, value: int | None, field: str) -> None:
    if value is not None and not 0 <= value <= 0o777:
        report.invalid(field, value, "must be a number between 0 and 0777 (octal), both inclusive")


def key_to_path(report: Report, item: JSON, field: str) -> None:
    if not item.get("key"):
        report.required(f"{field}.key")
    if not item.get("path"):
        report.required(f"{field}.path")
    else:
        local_path(report, item["path"], f"{field}.path")
    mode(report, item.get("mode"), f"{field}.mode")


def port_number(report: Report, value: int, field: str) -> None:
    report.within(field, value, 1, 65535)


def port(report: Report, value: int | str, field: str) -> None:
    """A number or the name of a container's port."""
    if isinstance(value, int):
        port_number(report, value, field)
    else:
        report.invalids(field, value, names.port_name(value))


def user_id(report: Report, value: int | None, field: str) -> None:
    """Users and groups."""
    report.within(field, value, 0, MAX_INT32)


def field_ref(report: Report, reference: JSON, field: str, supported: tuple[str, ...]) -> None:
    """A reference to a field of the Pod, in an environment variable or a volume."""
    path = reference.get("fieldPath", "")
    if not path:
        report.required(f"{field}.fieldPath")
        return
    base, bracket, rest = path.partition("['")
    subscript = rest[:-2] if bracket and rest.endswith("']") else None
    if reference.get("apiVersion") != "v1":
        report.invalid(f"{field}.fieldPath", path, f"error converting fieldPath: unsupported pod version: {reference.get('apiVersion')}")
    elif subscript is not None and base and base not in _SUBSCRIPTED:
        report.invalid(f"{field}.fieldPath", path, f"error converting fieldPath: field label does not support subscript: {path}")
    elif subscript is not None and base in _SUBSCRIPTED:
        report.invalids(field, subscript, names.qualified(subscript.lower() if base == "metadata.annotations" else subscript))
    elif path not in _FIELD_LABELS:
        report.invalid(f"{field}.fieldPath", path, f"error converting fieldPath: field label not supported: {path}")
    elif path not in supported:
        report.unsupported(f"{field}.fieldPath", path, supported)


def resource_ref(report: Report, reference: JSON, field: str, *, in_volume: bool) -> None:
    """A reference to a container's request or limit."""
    resource = reference.get("resource", "")
    if in_volume and not reference.get("containerName"):
        report.required(f"{field}.containerName")
    elif not resource:
        report.required(f"{field}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        report.unsupported(f"{field}.resource", resource, _RESOURCES)
    divisor = reference.get("divisor", "0")
    what = "hugepages" if resource.startswith(_HUGE_PAGES) else _DIVIDED.get(resource)
    allowed = "1m and 1" if what == "cpu" else ", ".join(_SIZE_DIVISORS)
    if what and quantity.parse(divisor).nanos and divisor not in allowed.replace(" and", ",").split(", "):
        report.invalid(f"{field}.divisor", resource, f"only divisor's values {allowed} are supported with the {what} resource")

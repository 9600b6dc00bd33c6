"""Rules of resource requests and limits, of containers and of whole Pods.

Called by ``validation_containers`` and ``validation_pod``. Source: kubernetes pkg/apis/core/validation, ValidateResourceRequirements.
"""

from __future__ import annotations

from podspace.kube import names, quantity
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

HUGE_PAGES = "hugepages-"
_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_POD = frozenset({"cpu", "memory"})
_INTEGERS = frozenset(["pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims"])
_STANDARD = _CONTAINER | _INTEGERS | frozenset({"storage", "requests.storage", "services.nodeports", "services.loadbalancers"})
_STANDARD_PREFIXES = (HUGE_PAGES, "requests.hugepages-", "attachable-volumes-")
_QUOTA_PREFIXES = ("requests.", "limits.")


def container_resources(report: Report, resources: JSON, claims: frozenset[str], field: str) -> None:
    _sides(report, resources, field, pod_level=False)
    _claims(report, resources.get("claims") or [], claims, f"{field}.claims")


def pod_resources(report: Report, spec: JSON, field: str) -> None:
    """Resources of the whole Pod: cpu, memory and huge pages; not less than what the containers ask for together."""
    resources: JSON = spec["resources"]
    if resources.get("claims"):
        report.forbidden(f"{field}.claims", "claims may not be set for Resources at pod-level")
    _sides(report, resources, field, pod_level=True)
    _aggregate(report, spec, resources, field)


def limits(report: Report, amounts: dict[str, str], field: str) -> None:
    """Amounts that stand for themselves: a Pod's overhead."""
    for name, amount in amounts.items():
        _amount(report, name, amount, f"{field}[{name}]", pod_level=False)


def resize_policy(report: Report, policies: list[JSON], pod_policy: str, field: str) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, action = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            report.duplicate(f"{field}[{index}]", name)
        seen.add(name)
        report.one_of(field, name, ("cpu", "memory"))
        report.one_of(field, action, ("NotRequired", "RestartContainer"))
        if pod_policy == "Never" and action != "NotRequired":
            report.invalid(field, action, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _sides(report: Report, resources: JSON, field: str, *, pod_level: bool) -> None:
    limits: dict[str, str] = resources.get("limits") or {}
    requests: dict[str, str] = resources.get("requests") or {}
    for name, amount in limits.items():
        _amount(report, name, amount, f"{field}.limits[{name}]", pod_level=pod_level)
    for name, amount in requests.items():
        _amount(report, name, amount, f"{field}.requests[{name}]", pod_level=pod_level)
        _against_limit(report, name, amount, limits, field)
    named = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in named) and not named & _POD:
        report.forbidden(field, "HugePages require cpu or memory")


def _against_limit(report: Report, name: str, amount: str, limits: dict[str, str], field: str) -> None:
    limit = limits.get(name)
    if limit is None:
        if not _overcommit_allowed(name):
            report.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        return
    asked, allowed = quantity.parse(amount).nanos, quantity.parse(limit).nanos
    if asked != allowed and not _overcommit_allowed(name):
        report.invalid(f"{field}.requests", amount, f"must be equal to {name} limit of {limit}")
    elif asked > allowed:
        report.invalid(f"{field}.requests", amount, f"must be less than or equal to {name} limit of {limit}")


def _amount(report: Report, name: str, amount: str, field: str, *, pod_level: bool) -> None:
    _name(report, name, field, pod_level=pod_level)
    parsed = quantity.parse(amount)
    if parsed.nanos < 0:
        report.invalid(field, amount, "must be greater than or equal to 0")
    if (name in _INTEGERS or _is_extended(name)) and parsed.milli_value % 1000:
        report.invalid(field, amount, "must be an integer")
    if name.startswith(HUGE_PAGES):
        _huge_pages(report, name, parsed, amount, field)


def _huge_pages(report: Report, name: str, parsed: quantity.Quantity, amount: str, field: str) -> None:
    size = name.removeprefix(HUGE_PAGES)
    try:
        page = quantity.parse(size).nanos
    except ValueError:
        page = 0
    if not page or parsed.nanos % page:
        report.invalid(field, amount, f"field value {amount} is not a positive integer multiple of {size}" if page else "invalid page size")


def _name(report: Report, name: str, field: str, *, pod_level: bool) -> None:
    problems = names.qualified(name)
    report.invalids(field, name, problems)
    if problems or _is_standard_name(report, name, field):
        return
    if pod_level:
        if name not in _POD and not name.startswith(HUGE_PAGES):
            report.unsupported(field, name, ("cpu", "memory"))
    elif "/" not in name:
        if name not in _CONTAINER and not name.startswith(HUGE_PAGES):
            report.invalid(field, name, "must be a standard resource for containers")
    elif not _is_native(name) and not _is_extended(name):
        report.invalid(field, name, "doesn't follow extended resource name standard")


def _is_standard_name(report: Report, name: str, field: str) -> bool:
    """Reports a plain name nobody knows; True if it did."""
    if "/" in name or name in _STANDARD or name.startswith(_STANDARD_PREFIXES):
        return False
    if name.startswith(_QUOTA_PREFIXES) and name.partition(".")[2] in _CONTAINER:
        return False
    report.invalid(field, name, "must be a standard resource type or fully qualified")
    return True


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    return not _is_native(name) and not name.startswith("requests.") and not names.qualified(f"requests.{name}")


def _overcommit_allowed(name: str) -> bool:
    return _is_native(name) and not name.startswith(HUGE_PAGES)


def _claims(report: Report, claims: list[JSON], known: frozenset[str], field: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        name = claim.get("name", "")
        if not name:
            report.required(f"{field}[{index}].name")
            continue
        key = (name, claim.get("request", ""))
        if key in seen:
            report.duplicate(f"{field}[{index}]", name)
        seen.add(key)
        if name not in known:
            report.not_found(f"{field}[{index}]", name)


def _aggregate(report: Report, spec: JSON, resources: JSON, field: str) -> None:
    containers: list[JSON] = spec.get("containers") or []
    for name, amount in (resources.get("requests") or {}).items():
        asked = [(one["resources"].get("requests") or {}).get(name) for one in containers]
        amounts = [quantity.parse(one) for one in asked if one is not None]
        total = quantity.Quantity(nanos=sum(one.nanos for one in amounts), family=amounts[0].family if amounts else "decimal")
        if total.nanos > quantity.parse(amount).nanos:
            report.invalid(
                f"{field}.requests[{name}]", amount, f"must be greater than or equal to aggregate container requests of {total.canonical()}"
            )
    for name, amount in (resources.get("limits") or {}).items():
        for index, container in enumerate(containers):
            limit = (container["resources"].get("limits") or {}).get(name)
            if limit is not None and quantity.parse(limit).nanos > quantity.parse(amount).nanos:
                report.invalid(f"spec.containers[{index}].resources.limits", limit, f"must be less than or equal to pod limits of {amount}")

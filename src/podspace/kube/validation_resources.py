"""Rules of resource requests and limits, of containers and of whole Pods.

Called by ``validation_containers`` and ``validation_pod``. Source: kubernetes pkg/apis/core/validation, ValidateResourceRequirements.
"""

from __future__ import annotations

from podspace.kube import amounts, names, quantity
from podspace.kube.json import JSON
from podspace.kube.validation_report import Report

HUGE_PAGES = "hugepages-"
_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_POD = frozenset({"cpu", "memory"})
_COUNTED = ("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims")
_INTEGERS = frozenset((*_COUNTED, "services.nodeports", "services.loadbalancers"))
_STANDARD = _CONTAINER | _INTEGERS | frozenset({"storage", "requests.storage"})
_STANDARD_PREFIXES = (HUGE_PAGES, "requests.hugepages-")
_QUOTA_PREFIXES = ("requests.", "limits.")


def container_resources(report: Report, resources: JSON, claims: frozenset[str], field: str) -> None:
    _sides(report, resources, field, pod_level=False)
    _claims(report, resources.get("claims") or [], claims, f"{field}.claims")


def pod_resources(report: Report, spec: JSON, claims: frozenset[str], field: str) -> None:
    """Resources of the whole Pod: cpu, memory and huge pages; not less than what the containers ask for together."""
    resources: JSON = spec["resources"]
    if (spec.get("os") or {}).get("name") == "windows":
        report.forbidden(field, "may not be set for a windows pod")
        return
    if "claims" in resources:
        report.forbidden(f"{field}.claims", "claims may not be set for Resources at pod-level")
    _sides(report, resources, field, pod_level=True)
    _claims(report, resources.get("claims") or [], claims, f"{field}.claims")
    _aggregate(report, spec, resources, field)


def overhead(report: Report, wanted: dict[str, str], field: str) -> None:
    """Checked, and shown, as if it were a container's limits."""
    _sides(report, {"limits": wanted}, field, pod_level=False)


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
            report.invalid(field, action, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")


def _sides(report: Report, resources: JSON, field: str, *, pod_level: bool) -> None:
    limits: dict[str, str] = resources.get("limits") or {}
    requests: dict[str, str] = resources.get("requests") or {}
    for name, amount in limits.items():
        _amount(report, name, amount, f"{field}.limits[{name}]", pod_level=pod_level)
        _huge_pages(report, name, amount, f"{field}.limits[{name}]")
    for name, amount in requests.items():
        _amount(report, name, amount, f"{field}.requests[{name}]", pod_level=pod_level)
        _against_limit(report, name, amount, limits, field)
        _huge_pages(report, name, amount, f"{field}.requests[{name}]")
    named = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in named) and not named & _POD:
        report.forbidden(field, "HugePages require cpu or memory")


def _against_limit(report: Report, name: str, amount: str, limits: dict[str, str], field: str) -> None:
    limit = limits.get(name)
    if limit is None:
        if not overcommit_allowed(name):
            report.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        return
    asked, allowed = quantity.parse(amount).nanos, quantity.parse(limit).nanos
    if asked != allowed and not overcommit_allowed(name):
        report.invalid(f"{field}.requests", amount, f"must be equal to {name} limit of {limit}")
    elif asked > allowed:
        report.invalid(f"{field}.requests", amount, f"must be less than or equal to {name} limit of {limit}")


def _amount(report: Report, name: str, amount: str, field: str, *, pod_level: bool) -> None:
    (_pod_name if pod_level else container_resource)(report, name, field)
    resource_amount(report, name, amount, field)


def resource_amount(report: Report, name: str, amount: str, field: str) -> None:
    """Not below zero, and whole if it is of things that are counted."""
    parsed = quantity.parse(amount)
    if parsed.nanos < 0:
        report.invalid(field, amount, "must be greater than or equal to 0")
    if (name in _INTEGERS or _is_extended(name)) and parsed.milli_value % 1000:
        report.invalid(field, amount, "must be an integer")


def _huge_pages(report: Report, name: str, amount: str, field: str) -> None:
    if not name.startswith(HUGE_PAGES):
        return
    try:
        page = quantity.parse(name.removeprefix(HUGE_PAGES))
    except ValueError:
        page = amounts.ZERO
    if page.nanos <= 0 or not page.is_whole or quantity.parse(amount).value % page.value:
        report.invalid(field, amount, f"{amount} is not positive integer multiple of {name}")


def resource_name(report: Report, name: str, field: str) -> bool:
    """A name of some resource. Whether it is one."""
    problems = names.qualified(name)
    report.invalids(field, name, problems)
    if problems:
        return False
    if "/" in name or name in _STANDARD or name.startswith(_STANDARD_PREFIXES):
        return True
    if name.startswith(_QUOTA_PREFIXES) and name.partition(".")[2] in _CONTAINER:
        return True
    report.invalid(field, name, "must be a standard resource type or fully qualified")
    return False


def container_resource(report: Report, name: str, field: str) -> None:
    """A name of what a container can ask for."""
    resource_name(report, name, field)
    if "/" not in name:
        if name not in _CONTAINER and not name.startswith(HUGE_PAGES):
            report.invalid(field, name, "must be a standard resource for containers")
    elif not _is_native(name) and not _is_extended(name):
        report.invalid(field, name, "doesn't follow extended resource name standard")


def quota_resource(report: Report, name: str, field: str) -> None:
    """A name of what a quota can bound."""
    resource_name(report, name, field)
    if "/" not in name and not is_quota_resource(name):
        report.invalid(field, name, "must be a standard resource for quota")


def is_quota_resource(name: str) -> bool:
    """One of Kubernetes' own, not of another's domain."""
    sized = name.startswith(_QUOTA_PREFIXES) and name.partition(".")[2] in _CONTAINER
    return sized or name in _STANDARD - {"storage"} or name.startswith(_STANDARD_PREFIXES)


def _pod_name(report: Report, name: str, field: str) -> None:
    if resource_name(report, name, field) and name not in _POD and not name.startswith(HUGE_PAGES):
        report.unsupported(field, name, ("cpu", HUGE_PAGES, "memory"))


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    return not _is_native(name) and not name.startswith("requests.") and not names.qualified(f"requests.{name}")


def overcommit_allowed(name: str) -> bool:
    """Whether a limit may be above the request."""
    return _is_native(name) and not name.startswith(HUGE_PAGES)


def _claims(report: Report, claims: list[JSON], known: frozenset[str], field: str) -> None:
    """A claim as a whole, or single requests of it, but nothing twice."""
    listed = f": {', '.join(sorted(known))}" if known else " which is empty"
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        path, name, request = f"{field}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            report.required(path)
            continue
        if name in seen:
            report.duplicate(path, name)
        elif request:
            report.invalids(f"{path}.request", request, names.label(request))
            if f"{name}/{request}" in seen:
                report.duplicate(path, f"{name}/{request}")
            seen.add(f"{name}/{request}")
        else:
            for _ in [one for one in seen if one.partition("/")[0] == name]:
                report.duplicate(path, name)
            seen.add(name)
        if name not in known:
            report.not_found(path, name, f"must be one of the names in pod.spec.resourceClaims{listed}")


def _aggregate(report: Report, spec: JSON, resources: JSON, field: str) -> None:
    containers: list[JSON] = spec.get("containers") or []
    whole: dict[str, dict[str, str]] = {side: resources.get(side) or {} for side in ("requests", "limits")}
    for name, total in amounts.of_containers(spec, "requests").items():
        _covers(report, whole["requests"], name, total, "requests", field)
    for name, total in amounts.of_containers(spec, "limits").items():
        if name.startswith(HUGE_PAGES):
            _covers(report, whole["limits"], name, total, "limits", field)
    for index, container in enumerate(containers):
        for name, limit in (container["resources"].get("limits") or {}).items():
            allowed = whole["limits"].get(name)
            if allowed is not None and quantity.parse(limit).nanos > quantity.parse(allowed).nanos:
                path = f"{field}.containers[{index}][{name}].limits"
                report.invalid(path, limit, f"must be less than or equal to pod limits of {allowed}")


def _covers(report: Report, whole: dict[str, str], name: str, total: quantity.Quantity, side: str, field: str) -> None:
    amount = whole.get(name)
    if amount is not None and total.nanos > quantity.parse(amount).nanos:
        words = f"must be greater than or equal to aggregate container {side} of {total.canonical()}"
        report.invalid(f"{field}.{side}[{name}]", amount, words)

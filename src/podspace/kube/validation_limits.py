"""Rules of LimitRanges and ResourceQuotas.

Called by ``validation``; what they do to Pods is in ``limits`` and ``quotas``.
Source: kubernetes pkg/apis/core/validation, ValidateLimitRange, ValidateResourceQuotaSpec.
"""

from __future__ import annotations

from collections.abc import Callable

from podspace.kube import amounts, names, validation_resources
from podspace.kube.amounts import Amounts
from podspace.kube.json import JSON
from podspace.kube.quantity import BILLION, Quantity
from podspace.kube.validation_metadata import IMMUTABLE
from podspace.kube.validation_report import Report

_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_NOT_FOR_PODS = ("default", "defaultRequest")
# lower, higher, the field that is complained about, and whose amount is shown: Go shows the bound, where it is a default's.
_ORDERED = (
    ("min", "max", "min", "min"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
    ("min", "default", "default", "min"),
    ("default", "max", "default", "max"),
)
_WORDS = {"defaultRequest": "default request"}
_EXISTS = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_SCOPES = (*_EXISTS, "PriorityClass", "VolumeAttributesClass")
_ONLY_EXISTS = ", ".join(f"ResourceQuotaScope{name}" for name in ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort"))
_COMPUTE = frozenset({"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_WRONG_RESOURCE = "unsupported scope applied to resource"


def limit_range(report: Report, obj: JSON) -> None:
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type", "")
        _type(report, kind, f"{path}.type")
        if kind in seen:
            report.duplicate(f"{path}.type", kind)
        seen.add(kind)
        _limits(report, item, kind, path)


def _type(report: Report, kind: str, field: str) -> None:
    problems = names.qualified(kind)
    report.invalids(field, kind, problems)
    if not problems and "/" not in kind and kind not in _TYPES:
        report.invalid(field, kind, "must be a standard limit type or fully qualified")


def _limits(report: Report, item: JSON, kind: str, path: str) -> None:
    check: Callable[[Report, str, str], object] = validation_resources.resource_name
    if kind in ("Pod", "Container"):
        check = validation_resources.container_resource
    sides: dict[str, Amounts] = {}
    for side in ("max", "min", *_NOT_FOR_PODS, "maxLimitRequestRatio"):
        if kind == "Pod" and side in _NOT_FOR_PODS:
            if item.get(side):
                report.forbidden(f"{path}.{side}", "may not be specified when `type` is 'Pod'")
            continue
        if side == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim":
            _storage(report, sides, path)
        sides[side] = amounts.of(item.get(side))
        for name in sides[side]:
            check(report, name, f"{path}.{side}[{name}]")
    for name in dict.fromkeys(name for side in sides.values() for name in side):
        _one(report, name, {side: given[name] for side, given in sides.items() if name in given}, path)


def _storage(report: Report, sides: dict[str, Amounts], path: str) -> None:
    if "storage" not in sides["min"] and "storage" not in sides["max"]:
        report.required(f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided")


def _one(report: Report, name: str, given: dict[str, Quantity], path: str) -> None:
    """All that a range says of one resource."""
    for low, high, field, shown in _ORDERED:
        if low in given and high in given and given[low].nanos > given[high].nanos:
            words = f"{_WORDS.get(low, low)} value {given[low].canonical()} is greater than"
            other = "default limit" if (low, high) == ("defaultRequest", "default") else _WORDS.get(high, high)
            report.invalid(f"{path}.{field}[{name}]", given[shown].canonical(), f"{words} {other} value {given[high].canonical()}")
    if "maxLimitRequestRatio" in given:
        _ratio(report, given, f"{path}.maxLimitRequestRatio[{name}]")
    default, request = given.get("default"), given.get("defaultRequest")
    if default and request and not validation_resources.overcommit_allowed(name) and default.nanos != request.nanos:
        words = f"default value {default.canonical()} must equal to defaultRequest value {request.canonical()} in {name}"
        report.invalid(f"{path}.defaultRequest[{name}]", request.canonical(), words)


def _ratio(report: Report, given: dict[str, Quantity], field: str) -> None:
    ratio, least, most = given["maxLimitRequestRatio"], given.get("min"), given.get("max")
    if ratio.nanos < BILLION:
        report.invalid(field, ratio.canonical(), f"ratio {ratio.canonical()} is less than 1")
    if least and most and least.nanos and ratio.nanos / BILLION > most.nanos / least.nanos:
        report.invalid(field, ratio.canonical(), f"ratio {ratio.canonical()} is greater than max/min = {most.nanos / least.nanos:f}")


def quota(report: Report, obj: JSON) -> None:
    spec: JSON = obj.get("spec") or {}
    hard: dict[str, str] = spec.get("hard") or {}
    for name, amount in hard.items():
        validation_resources.quota_resource(report, name, f"spec.hard[{name}]")
        validation_resources.resource_amount(report, name, amount, f"spec.hard[{name}]")
    scopes: list[str] = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            report.invalid("spec.scopes", scopes, "unsupported scope")
        for _ in _out_of_scope(scope, hard):
            report.invalid("spec.scopes", scopes, _WRONG_RESOURCE)
    _conflicts(report, scopes, scopes)
    _selector(report, spec.get("scopeSelector") or {}, hard, scopes)


def quota_update(report: Report, new: JSON, old: JSON) -> None:
    """What a quota is about stays; how much it allows may change."""
    quota(report, new)
    before, after = ((one.get("spec") or {}).get("scopes") or [] for one in (old, new))
    if sorted(set(before)) != sorted(set(after)):
        report.invalid("spec.scopes", after or None, IMMUTABLE)


def _selector(report: Report, selector: JSON, hard: dict[str, str], scopes: list[str]) -> None:
    field, terms = "spec.scopeSelector.matchExpressions", selector.get("matchExpressions") or []
    shown = {
        "MatchExpressions": [{key: term.get(key[0].lower() + key[1:]) for key in ("ScopeName", "Operator", "Values")} for term in terms]
    }
    for term in terms:
        scope, operator, values = term.get("scopeName", ""), term.get("operator", ""), term.get("values") or []
        if scope not in _SCOPES:
            report.invalid(f"{field}.scopeName", scope, "unsupported scope")
        for _ in _out_of_scope(scope, hard):
            report.invalid(field, shown, _WRONG_RESOURCE)
        if scope in _EXISTS and operator != "Exists":
            words = f"must be 'Exists' when scope is any of {_ONLY_EXISTS} or ResourceQuotaScopeCrossNamespacePodAffinity"
            report.invalid(f"{field}.operator", operator, words)
        _values(report, operator, values, field)
    _conflicts(report, [term.get("scopeName", "") for term in terms], scopes)


def _values(report: Report, operator: str, values: list[str], field: str) -> None:
    if operator in ("In", "NotIn"):
        if not values:
            report.required(f"{field}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            report.invalid(f"{field}.values", values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")
    else:
        report.invalid(f"{field}.operator", operator, "not a valid selector operator")


def _out_of_scope(scope: str, hard: dict[str, str]) -> list[str]:
    """Bounded resources that objects of this scope do not use."""
    if scope not in _SCOPES:
        return []
    own = {"BestEffort": {"pods"}, "VolumeAttributesClass": {"persistentvolumeclaims", "requests.storage"}}.get(scope, _COMPUTE | {"pods"})
    return [name for name in hard if validation_resources.is_quota_resource(name) and name not in own]


def _conflicts(report: Report, scopes: list[str], shown: list[str]) -> None:
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            report.invalid("spec.scopes", shown or None, "conflicting scopes")

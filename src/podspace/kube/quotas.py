"""ResourceQuotas: what a namespace's objects use, and whether one more fits.

Called by ``api`` before an object is created, and whenever something changed in a namespace that has a quota. Pure.
Source: kubernetes pkg/quota/v1 evaluators, plugin ResourceQuota.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from podspace import errors
from podspace.kube import amounts, qos, resources
from podspace.kube.amounts import Amounts
from podspace.kube.json import JSON
from podspace.kube.quantity import BILLION, Quantity
from podspace.kube.resources import Resource

_ONE = Quantity(nanos=BILLION)
_PLAIN = frozenset({"pods", "services", "configmaps", "secrets", "persistentvolumeclaims", "resourcequotas", "replicationcontrollers"})
_SIZES = ("cpu", "memory", "ephemeral-storage")
_DEMANDED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"


def usage(resource: Resource, obj: JSON) -> Amounts:
    """What one object counts for, under every name a quota may use."""
    used: Amounts = {f"count/{resource.qualified}": _ONE}
    if resource is resources.PODS:
        return used | _pod(obj) if counts(resource, obj) else {}
    if resource.qualified in _PLAIN:
        used[resource.qualified] = _ONE
    if resource is resources.SERVICES:
        used |= _service(obj.get("spec") or {})
    elif resource.qualified == "persistentvolumeclaims":
        used |= _claim(obj.get("spec") or {})
    return used


def counts(resource: Resource, obj: JSON) -> bool:
    """A Pod that has ended uses nothing."""
    return resource is not resources.PODS or (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _pod(obj: JSON) -> Amounts:
    spec: JSON = obj.get("spec") or {}
    used: Amounts = {"pods": _ONE}
    for name, amount in amounts.of_pod(spec, "requests").items():
        used[f"requests.{name}"] = amount
        if name in _SIZES or name.startswith("hugepages-"):
            used[name] = amount
    used |= {f"limits.{name}": amount for name, amount in amounts.of_pod(spec, "limits").items() if name in _SIZES}
    return used


def _service(spec: JSON) -> Amounts:
    ports = Quantity(nanos=BILLION * len(spec.get("ports") or ()))
    match spec.get("type"):
        case "NodePort":
            return {"services.nodeports": ports}
        case "LoadBalancer":
            return {"services.loadbalancers": _ONE, "services.nodeports": ports}
        case _:
            return {}


def _claim(spec: JSON) -> Amounts:
    storage = amounts.of((spec.get("resources") or {}).get("requests")).get("storage", amounts.ZERO)
    used = {"requests.storage": storage}
    if name := spec.get("storageClassName"):
        used |= {f"{name}{_CLASS_SUFFIX}requests.storage": storage, f"{name}{_CLASS_SUFFIX}persistentvolumeclaims": _ONE}
    return used


def covers(quota: JSON, resource: Resource, obj: JSON) -> bool:
    """Whether the quota's scopes hold this object; those of a quota that has any hold nothing but Pods."""
    spec: JSON = quota.get("spec") or {}
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    terms += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return not terms or (resource is resources.PODS and all(_in_scope(term, obj.get("spec") or {}) for term in terms))


def _in_scope(term: JSON, spec: JSON) -> bool:
    match term["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return qos.qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos.qos_class(spec) != "BestEffort"
        case "PriorityClass":
            return _matches(term, spec.get("priorityClassName") or "")
        case _:
            return any("namespaceSelector" in one or one.get("namespaces") for one in _pod_affinity_terms(spec.get("affinity") or {}))


def _pod_affinity_terms(affinity: JSON) -> Iterator[JSON]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules: JSON = affinity.get(kind) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighed in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighed["podAffinityTerm"]


def _matches(term: JSON, value: str) -> bool:
    match term["operator"]:
        case "In":
            return value in (term.get("values") or ())
        case "NotIn":
            return value not in (term.get("values") or ())
        case "Exists":
            return bool(value)
        case _:
            return not value


def used(quota: JSON, objects: Iterable[tuple[Resource, JSON]]) -> Amounts:
    """What a quota's ``status.used`` says: the sum under each name it bounds."""
    names = (quota.get("spec") or {}).get("hard") or {}
    total: Amounts = dict.fromkeys(names, amounts.ZERO)
    for resource, obj in objects:
        if covers(quota, resource, obj):
            total = amounts.plus(total, {name: amount for name, amount in usage(resource, obj).items() if name in names})
    return total


def check(resource: Resource, obj: JSON, quota: JSON, present: Mapping[str, Quantity]) -> None:
    """Raise Forbidden unless the object fits into what the quota leaves. ``present``: as ``used`` tells."""
    if not covers(quota, resource, obj):
        return
    hard = amounts.of((quota.get("spec") or {}).get("hard"))
    wanted = {name: amount for name, amount in usage(resource, obj).items() if name in hard}
    quota_name = quota["metadata"]["name"]
    if resource is resources.PODS and (missing := _missing(obj.get("spec") or {}, hard)):
        raise _forbidden(resource, obj, f"failed quota: {quota_name}: must specify {missing}")
    after = amounts.plus(dict(present), wanted)
    exceeded = sorted(name for name in wanted if after[name].nanos > hard[name].nanos)
    if exceeded:
        asked, has, most = (_printed(values, exceeded) for values in (wanted, present, hard))
        raise _forbidden(resource, obj, f"exceeded quota: {quota_name}, requested: {asked}, used: {has}, limited: {most}")


def check_growth(resource: Resource, obj: JSON, old: JSON, quota: JSON, present: Mapping[str, Quantity]) -> None:
    """Raise Forbidden unless what the object needs more than it did fits into what the quota leaves. ``present``: with the old one."""
    if not covers(quota, resource, obj):
        return
    hard, before = amounts.of((quota.get("spec") or {}).get("hard")), usage(resource, old)
    more = {
        name: Quantity(nanos=amount.nanos - before.get(name, amounts.ZERO).nanos, family=amount.family)
        for name, amount in usage(resource, obj).items()
        if name in hard
    }
    exceeded = sorted(name for name, amount in more.items() if 0 < amount.nanos > hard[name].nanos - present[name].nanos)
    if exceeded:
        asked, has, most = (_printed(values, exceeded) for values in (more, present, hard))
        words = f"exceeded quota: {quota['metadata']['name']}, requested: {asked}, used: {has}, limited: {most}"
        raise _forbidden(resource, obj, words)


def _missing(spec: JSON, hard: Amounts) -> str:
    """``limits.cpu for: a,b; limits.memory for: a``: a quota on these can only be kept if every container says something."""
    found: dict[str, set[str]] = {}
    if spec.get("resources"):
        return ""
    for name in (name for name in _DEMANDED if name in hard):
        side, _, size = name.rpartition(".")
        for field in ("containers", "initContainers"):
            for container in spec.get(field) or ():
                if size not in ((container.get("resources") or {}).get(side or "requests") or {}):
                    found.setdefault(name, set()).add(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(containers))}" for name, containers in sorted(found.items()))


def _printed(values: Mapping[str, Quantity], names: Iterable[str]) -> str:
    return ",".join(f"{name}={values.get(name, amounts.ZERO).canonical()}" for name in names)


def _forbidden(resource: Resource, obj: JSON, words: str) -> errors.Forbidden:
    name = obj["metadata"].get("name", "")
    return errors.Forbidden(f'{resource.qualified} "{name}" is forbidden: {words}', resource=resource.plural, name=name)

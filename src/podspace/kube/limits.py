"""LimitRanges: what a namespace gives containers that say nothing, and what it lets none exceed.

Called by ``api`` when a Pod or a claim is created. Pure. Source: plugin LimitRanger and defaults of kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podspace import errors
from podspace.kube import amounts, schema
from podspace.kube.amounts import Amounts
from podspace.kube.json import JSON
from podspace.kube.quantity import Quantity

ANNOTATION = "kubernetes.io/limit-ranger"
_CONTAINERS = (("containers", "container"), ("initContainers", "init container"))


def complete(obj: JSON) -> None:
    """Defaults of a LimitRange itself. In place."""
    for item in (obj.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            default = {**(item.get("max") or {}), **(item.get("default") or {})}
            request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
            item.update({key: dict(sorted(value.items())) for key, value in (("default", default), ("defaultRequest", request)) if value})
    spec = obj.get("spec") or {}
    if spec.get("limits"):
        spec["limits"] = [schema.ordered("LimitRangeItem", item) for item in spec["limits"]]


def admit_pod(pod: JSON, ranges: Iterable[JSON]) -> None:
    """Fill in a Pod what its namespace's ranges give, and hold it against them. In place.  Raises: Forbidden."""
    found = list(ranges)
    for limit_range in found:
        _fill(pod, limit_range)
    check_pod(pod, found)


def check_pod(pod: JSON, ranges: Iterable[JSON]) -> None:
    """Hold a Pod against its namespace's ranges.  Raises: Forbidden."""
    for limit_range in ranges:
        _refuse("pods", pod, list(_pod_complaints(pod["spec"], limit_range)))


def admit_claim(claim: JSON, ranges: Iterable[JSON]) -> None:
    """Hold a PersistentVolumeClaim against its namespace's ranges.  Raises: Forbidden."""
    wanted = amounts.of(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    for limit_range in ranges:
        complaints: list[str] = []
        for item in _items(limit_range, "PersistentVolumeClaim"):
            complaints += _least(item, wanted, {})
            complaints += [words for words in _most(item, wanted, None) if words]
        _refuse("persistentvolumeclaims", claim, complaints)


def _items(limit_range: JSON, kind: str) -> list[JSON]:
    return [item for item in (limit_range.get("spec") or {}).get("limits") or () if item.get("type") == kind]


def _fill(pod: JSON, limit_range: JSON) -> None:
    limits: JSON = {}
    requests: JSON = {}
    for item in _items(limit_range, "Container"):
        limits.update(item.get("default") or {})
        requests.update(item.get("defaultRequest") or {})
    told = []
    for field, words in _CONTAINERS:
        for container in pod["spec"].get(field) or ():
            told += _fill_container(container, words, limits, requests)
    if told:
        fields = pod["metadata"]
        fields["annotations"] = {**(fields.get("annotations") or {}), ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}"}


def _fill_container(container: JSON, words: str, limits: JSON, requests: JSON) -> list[str]:
    resources = container.setdefault("resources", {})
    told = []
    for side, defaults in (("requests", requests), ("limits", limits)):
        missing = {name: value for name, value in defaults.items() if name not in (resources.get(side) or {})}
        if missing:
            resources[side] = dict(sorted({**(resources.get(side) or {}), **missing}.items()))
            told.append(f"{', '.join(sorted(missing))} {side[:-1]} for {words} {container['name']}")
    container["resources"] = schema.ordered("ResourceRequirements", resources)
    return told


def _pod_complaints(spec: JSON, limit_range: JSON) -> Iterator[str]:
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            for field, _ in _CONTAINERS:
                for container in spec.get(field) or ():
                    resources = container.get("resources") or {}
                    yield from _complaints(item, amounts.of(resources.get("requests")), amounts.of(resources.get("limits")))
        elif item.get("type") == "Pod":
            yield from _complaints(item, amounts.of_pod(spec, "requests"), amounts.of_pod(spec, "limits"))


def _complaints(item: JSON, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _least(item, requests, limits)
    yield from _most(item, requests, limits)
    yield from _ratio(item, requests, limits)


def _least(item: JSON, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in sorted(amounts.of(item.get("min")).items()):
        words = f"minimum {name} usage per {item['type']} is {least.canonical()}"
        request, limit = requests.get(name), limits.get(name)
        if request is None:
            yield f"{words}.  No request is specified"
        elif request.nanos < least.nanos:
            yield f"{words}, but request is {request.canonical()}"
        elif limit is not None and limit.nanos < least.nanos:
            yield f"{words}, but limit is {limit.canonical()}"


def _most(item: JSON, requests: Amounts, limits: Amounts | None) -> Iterator[str]:
    """``limits`` None: only requests are bounded (claims)."""
    for name, most in sorted(amounts.of(item.get("max")).items()):
        words = f"maximum {name} usage per {item['type']} is {most.canonical()}"
        request = requests.get(name)
        if limits is None:
            if request is None:
                yield f"{words}.  No request is specified"
        elif name not in limits:
            yield f"{words}.  No limit is specified"
            continue
        elif limits[name].nanos > most.nanos:
            yield f"{words}, but limit is {limits[name].canonical()}"
            continue
        if request is not None and request.nanos > most.nanos:
            yield f"{words}, but request is {request.canonical()}"


def _ratio(item: JSON, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, ratio in sorted(amounts.of(item.get("maxLimitRequestRatio")).items()):
        words = f"{name} max limit to request ratio per {item['type']} is {ratio.canonical()}"
        request, limit = requests.get(name, Quantity(nanos=0)), limits.get(name, Quantity(nanos=0))
        if not request.nanos:
            yield f"{words}, but no request is specified or request is 0"
        elif not limit.nanos:
            yield f"{words}, but no limit is specified or limit is 0"
        elif limit.nanos / request.nanos > ratio.nanos / 10**9:
            yield f"{words}, but provided ratio is {limit.nanos / request.nanos:f}"


def _refuse(resource: str, obj: JSON, complaints: list[str]) -> None:
    if complaints:
        name = obj["metadata"].get("name", "")
        distinct = list(dict.fromkeys(complaints))
        words = distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"
        raise errors.Forbidden(f'{resource} "{name}" is forbidden: {words}', resource=resource, name=name)

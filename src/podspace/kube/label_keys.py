"""matchLabelKeys and mismatchLabelKeys of a new Pod become requirements of the selectors beside them, with the Pod's own labels.

Called by ``api`` when a Pod is created. Pure. Source: KEP-3633, KEP-3243; kubernetes pkg/registry/core/pod/strategy.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from podspace.kube.json import JSON

_KINDS = (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))


def merge(pod: JSON) -> None:
    """In place. A key the Pod has no label for says nothing."""
    own: dict[str, str] = (pod.get("metadata") or {}).get("labels") or {}
    for term in _terms(pod.get("spec") or {}):
        selector: JSON | None = term.get("labelSelector")
        for name, operator in _KINDS if selector is not None else ():
            for key in term.get(name) or ():
                if key in own:
                    requirement = {"key": key, "operator": operator, "values": [own[key]]}
                    term["labelSelector"] = {**term["labelSelector"]}
                    term["labelSelector"]["matchExpressions"] = [*(term["labelSelector"].get("matchExpressions") or ()), requirement]


def _terms(spec: JSON) -> Iterator[JSON]:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity: JSON = (spec.get("affinity") or {}).get(kind) or {}
        for preferred in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield preferred.get("podAffinityTerm") or {}
        yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    yield from spec.get("topologySpreadConstraints") or ()

"""Label keys of a new Pod become requirements of the selectors beside them."""

from __future__ import annotations

from podspace.kube import label_keys
from podspace.kube.json import JSON


def _merged(term: JSON) -> JSON:
    pod = {
        "metadata": {"labels": {"app": "web", "rev": "7"}},
        "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}},
    }
    label_keys.merge(pod)
    return term


def test_keys_the_pod_has_labels_for_are_added_to_the_selector() -> None:
    term = _merged({"labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["app", "none"], "mismatchLabelKeys": ["rev"]})
    assert term["labelSelector"]["matchExpressions"] == [
        {"key": "app", "operator": "In", "values": ["web"]},
        {"key": "rev", "operator": "NotIn", "values": ["7"]},
    ]


def test_without_a_selector_there_is_nothing_to_add_to() -> None:
    assert _merged({"matchLabelKeys": ["app"]}) == {"matchLabelKeys": ["app"]}


def test_spread_constraints_have_keys_too() -> None:
    constraint: JSON = {"labelSelector": {}, "matchLabelKeys": ["app"]}
    label_keys.merge({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": [constraint]}})
    assert constraint["labelSelector"] == {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}

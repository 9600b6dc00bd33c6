"""Verdicts on the fields that say where a Pod may run. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, kept, refused

_AFFINITY = "unit/node/test_scheduler.py::test_required_affinity_is_obeyed"
_TAINTS = "unit/node/test_scheduler.py::test_a_cordoned_or_tainted_node_takes_only_what_tolerates_it"
_ONE_NODE = kept("There is one node: wherever Pods have to be or must not be together, it is there.")
_PREFERENCE = kept("With one node there is nothing to prefer.")
_SPREAD = kept("With one node all Pods are where they have to be.")

TYPES: Types = {
    "Affinity": {
        "nodeAffinity": honoured(_AFFINITY),
        "podAffinity": _ONE_NODE,
        "podAntiAffinity": _ONE_NODE,
    },
    "LabelSelector": {
        "matchExpressions": _ONE_NODE,
        "matchLabels": _ONE_NODE,
    },
    "LabelSelectorRequirement": {
        "key": _ONE_NODE,
        "operator": _ONE_NODE,
        "values": _ONE_NODE,
    },
    "NodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": _PREFERENCE,
        "requiredDuringSchedulingIgnoredDuringExecution": honoured(_AFFINITY),
    },
    "NodeSelector": {
        "nodeSelectorTerms": honoured(_AFFINITY),
    },
    "NodeSelectorRequirement": {
        "key": honoured(_AFFINITY),
        "operator": honoured(_AFFINITY),
        "values": honoured(_AFFINITY),
    },
    "NodeSelectorTerm": {
        "matchExpressions": honoured(_AFFINITY),
        "matchFields": honoured(_AFFINITY),
    },
    "PodAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": _PREFERENCE,
        "requiredDuringSchedulingIgnoredDuringExecution": _ONE_NODE,
    },
    "PodAffinityTerm": {
        "labelSelector": _ONE_NODE,
        "matchLabelKeys": _ONE_NODE,
        "mismatchLabelKeys": _ONE_NODE,
        "namespaceSelector": _ONE_NODE,
        "namespaces": _ONE_NODE,
        "topologyKey": _ONE_NODE,
    },
    "PodAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": _PREFERENCE,
        "requiredDuringSchedulingIgnoredDuringExecution": _ONE_NODE,
    },
    "PodOS": {
        "name": refused("this machine runs Linux", when=lambda value, _: value != "linux", example="windows"),
    },
    "PodSchedulingGate": {
        "name": kept("The Pod waits until nobody holds a gate any more."),
    },
    "PreferredSchedulingTerm": {
        "preference": _PREFERENCE,
        "weight": _PREFERENCE,
    },
    "Toleration": {
        "effect": honoured(_TAINTS),
        "key": honoured(_TAINTS),
        "operator": honoured(_TAINTS),
        "tolerationSeconds": kept("No Pod is evicted from its only node."),
        "value": honoured(_TAINTS),
    },
    "TopologySpreadConstraint": {
        "labelSelector": _SPREAD,
        "matchLabelKeys": _SPREAD,
        "maxSkew": _SPREAD,
        "minDomains": _SPREAD,
        "nodeAffinityPolicy": _SPREAD,
        "nodeTaintsPolicy": _SPREAD,
        "topologyKey": _SPREAD,
        "whenUnsatisfiable": _SPREAD,
    },
    "WeightedPodAffinityTerm": {
        "podAffinityTerm": _PREFERENCE,
        "weight": _PREFERENCE,
    },
}

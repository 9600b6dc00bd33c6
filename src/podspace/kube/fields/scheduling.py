"""Verdicts on the fields that say where a Pod may run. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, kept

_AFFINITY = "unit/node/test_scheduler.py::test_required_affinity_is_obeyed"
_TAINTS = "unit/node/test_scheduler.py::test_a_cordoned_or_tainted_node_takes_only_what_tolerates_it"
_OTHERS = "unit/node/test_pod_affinity.py::test_affinity_to_others_is_about_this_node"
_BOOTSTRAP = "conformance/pods/test_scheduling.py::test_pods_that_must_not_be_together_wait_for_each_other"
_PREFERENCE = kept("With one node there is nothing to prefer.")
_SPREAD = "unit/node/test_topology_spread.py::test_one_domain_is_even_unless_more_are_asked_for"

TYPES: Types = {
    "Affinity": {
        "nodeAffinity": honoured(_AFFINITY),
        "podAffinity": honoured(_OTHERS, _BOOTSTRAP),
        "podAntiAffinity": honoured(_OTHERS, _BOOTSTRAP),
    },
    "LabelSelector": {
        "matchExpressions": honoured(_OTHERS, _BOOTSTRAP),
        "matchLabels": honoured(_OTHERS, _BOOTSTRAP),
    },
    "LabelSelectorRequirement": {
        "key": honoured(_OTHERS, _BOOTSTRAP),
        "operator": honoured(_OTHERS, _BOOTSTRAP),
        "values": honoured(_OTHERS, _BOOTSTRAP),
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
        "requiredDuringSchedulingIgnoredDuringExecution": honoured(_OTHERS, _BOOTSTRAP),
    },
    "PodAffinityTerm": {
        "labelSelector": honoured(_OTHERS, _BOOTSTRAP),
        "matchLabelKeys": honoured(_OTHERS, _BOOTSTRAP),
        "mismatchLabelKeys": honoured(_OTHERS, _BOOTSTRAP),
        "namespaceSelector": honoured(_OTHERS, _BOOTSTRAP),
        "namespaces": honoured(_OTHERS, _BOOTSTRAP),
        "topologyKey": honoured(_OTHERS, _BOOTSTRAP),
    },
    "PodAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": _PREFERENCE,
        "requiredDuringSchedulingIgnoredDuringExecution": honoured(_OTHERS, _BOOTSTRAP),
    },
    "PodOS": {
        "name": honoured("conformance/pods/test_scheduling.py::test_another_operating_system_is_not_this_nodes"),
    },
    "PodSchedulingGate": {
        "name": honoured("conformance/pods/test_scheduling.py::test_gates_hold_a_pod_back"),
    },
    "PreferredSchedulingTerm": {
        "preference": _PREFERENCE,
        "weight": _PREFERENCE,
    },
    "Toleration": {
        "effect": honoured(_TAINTS),
        "key": honoured(_TAINTS),
        "operator": honoured(_TAINTS),
        "tolerationSeconds": honoured("conformance/pods/test_scheduling.py::test_a_taint_of_the_node_takes_the_pods_that_do_not_bear_it"),
        "value": honoured(_TAINTS),
    },
    "TopologySpreadConstraint": {
        "labelSelector": honoured(_SPREAD),
        "matchLabelKeys": honoured(_SPREAD),
        "maxSkew": honoured(_SPREAD),
        "minDomains": honoured(_SPREAD),
        "nodeAffinityPolicy": kept("With one node there is no other to count or to leave out."),
        "nodeTaintsPolicy": kept("With one node there is no other to count or to leave out."),
        "topologyKey": honoured(_SPREAD),
        "whenUnsatisfiable": honoured(_SPREAD),
    },
    "WeightedPodAffinityTerm": {
        "podAffinityTerm": _PREFERENCE,
        "weight": _PREFERENCE,
    },
}

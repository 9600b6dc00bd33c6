"""Spreading Pods over topologies, where there is one: this node's. Pure; called by ``fit``.

With one domain every Pod is where the fewest are, so a constraint is violated only if the node is in no domain, or if more domains are
asked for than there are (``minDomains``: then the fewest are none).
Source: kube-scheduler pkg/scheduler/framework/plugins/podtopologyspread.
"""

from __future__ import annotations

from collections.abc import Sequence

from podspace.kube.json import JSON
from podspace.node import node_selection

VIOLATED = "node(s) didn't match pod topology spread constraints"
UNLABELLED = f"{VIOLATED} (missing required label)"


def violated(pod: JSON, node: JSON, others: Sequence[JSON]) -> str:
    """Return the scheduler's words for the constraint that keeps the Pod from the node, "" if none does."""
    constraints = [one for one in pod["spec"].get("topologySpreadConstraints") or () if one["whenUnsatisfiable"] == "DoNotSchedule"]
    if any(one["topologyKey"] not in (node["metadata"].get("labels") or {}) for one in constraints):
        return UNLABELLED
    return VIOLATED if any(_skew(one, pod, others) > one["maxSkew"] for one in constraints) else ""


def _skew(constraint: JSON, pod: JSON, others: Sequence[JSON]) -> int:
    """How many more Pods of the kind this node would have than the domain with the fewest."""
    here = sum(_counts(constraint, pod, other) for other in others)
    fewest = 0 if constraint.get("minDomains", 1) > 1 else here
    return here + _counts(constraint, pod, pod) - fewest


def _counts(constraint: JSON, owner: JSON, other: JSON) -> int:
    selector = constraint.get("labelSelector")
    metadata, own = other["metadata"], owner["metadata"].get("labels") or {}
    if selector is None or metadata.get("deletionTimestamp") or metadata["namespace"] != owner["metadata"]["namespace"]:
        return 0
    labels = metadata.get("labels") or {}
    same = all(labels.get(key) == own[key] for key in constraint.get("matchLabelKeys") or () if key in own)
    return int(same and node_selection.labelled(selector, labels))

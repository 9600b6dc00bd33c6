"""Affinity between Pods, on one node: whom a Pod must be with, and whom it must not. Pure.

A topology of any key is this node, if it has that label; without it the node is in none. Called by ``fit``.
Source: kube-scheduler pkg/scheduler/framework/plugins/interpodaffinity; KEP-3633 (matchLabelKeys).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podspace.kube.json import JSON
from podspace.node import node_selection

NOT_NEAR = "node(s) didn't match pod affinity rules"
TOO_NEAR = "node(s) didn't match pod anti-affinity rules"
KEEPS_AWAY = "node(s) didn't satisfy existing pods anti-affinity rules"
Namespaces = Callable[[], dict[str, JSON]]


def violated(pod: JSON, node: JSON, others: Sequence[JSON], namespaces: Namespaces) -> str:
    """Return the scheduler's words for the rule that keeps the Pod from the node, "" if none does."""
    if not _near(pod, node, others, namespaces):
        return NOT_NEAR
    for term in _terms(pod, "podAntiAffinity"):
        if _has(node, term) and any(_matches(term, pod, other, namespaces) for other in others):
            return TOO_NEAR
    for other in others:
        if any(_has(node, term) and _matches(term, other, pod, namespaces) for term in _terms(other, "podAntiAffinity")):
            return KEEPS_AWAY
    return ""


def uses(pod: JSON) -> bool:
    """Whether others decide where the Pod may run."""
    return bool(_terms(pod, "podAffinity") or _terms(pod, "podAntiAffinity"))


def _near(pod: JSON, node: JSON, others: Sequence[JSON], namespaces: Namespaces) -> bool:
    terms = _terms(pod, "podAffinity")
    if not all(_has(node, term) for term in terms):
        return False
    if all(any(_matches(term, pod, other, namespaces) for other in others) for term in terms):
        return True
    # the first of a group that wants to be together has nobody to be with yet
    found = any(_matches(term, pod, other, namespaces) for term in terms for other in others)
    return not found and all(_matches(term, pod, pod, namespaces) for term in terms)


def _terms(pod: JSON, kind: str) -> list[JSON]:
    rules = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())


def _has(node: JSON, term: JSON) -> bool:
    return term["topologyKey"] in (node["metadata"].get("labels") or {})


def _matches(term: JSON, owner: JSON, other: JSON, namespaces: Namespaces) -> bool:
    """Whether the term of ``owner`` means ``other``."""
    selector = term.get("labelSelector")
    if selector is None or not _in_namespaces(term, owner, other, namespaces):
        return False
    labels = other["metadata"].get("labels") or {}
    return node_selection.labelled(selector, labels) and _by_keys(term, owner, labels)


def _in_namespaces(term: JSON, owner: JSON, other: JSON, namespaces: Namespaces) -> bool:
    named, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    theirs = other["metadata"]["namespace"]
    if not named and selector is None:
        return bool(theirs == owner["metadata"]["namespace"])
    return theirs in named or (selector is not None and node_selection.labelled(selector, namespaces().get(theirs) or {}))


def _by_keys(term: JSON, owner: JSON, labels: JSON) -> bool:
    """matchLabelKeys and mismatchLabelKeys: the owner's own values; a key it has not got says nothing."""
    own = owner["metadata"].get("labels") or {}
    same = all(labels.get(key) == own[key] for key in term.get("matchLabelKeys") or () if key in own)
    return same and all(labels.get(key) != own[key] for key in term.get("mismatchLabelKeys") or () if key in own)

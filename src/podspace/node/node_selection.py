"""Selectors as objects have them: by labels, and of nodes by terms of labels and names. Pure.

Called by ``scheduler`` and ``claims``. Source: component-helpers scheduling/corev1/nodeaffinity.
"""

from __future__ import annotations

from podspace.kube.json import JSON


def matches(selector: JSON, node: JSON) -> bool:
    """A NodeSelector: terms are ORed, the requirements of a term ANDed; a term without any matches nothing."""
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        bool(term.get("matchExpressions") or term.get("matchFields"))
        and all(requirement_met(r, labels) for r in term.get("matchExpressions") or ())
        and all(requirement_met(r, fields) for r in term.get("matchFields") or ())
        for term in selector.get("nodeSelectorTerms") or ()
    )


def labelled(selector: JSON, labels: JSON) -> bool:
    """A LabelSelector: everything it says must hold."""
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return exact and all(requirement_met(r, labels) for r in selector.get("matchExpressions") or ())


def requirement_met(requirement: JSON, labels: JSON) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.lstrip("-").isdigit() and int(value) > int(values[0])
        case "Lt":
            return value is not None and value.lstrip("-").isdigit() and int(value) < int(values[0])
        case _:
            return False

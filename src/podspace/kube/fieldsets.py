"""Sets of fields in the form they travel in (``managedFields[].fieldsV1``), and what one does with sets.

A set is a tree: ``{"f:spec": {"f:replicas": {}}}`` holds the one field spec.replicas. A node is in the set when it is empty or has a
``"."`` member; the root is never. Labels: ``f:`` a field, ``k:`` an element of a list by its keys, ``v:`` an element by its value. Pure;
trees are never changed in place. Used by ``fieldwalk`` and ``managedfields``.
Source: KEP-555; structured-merge-diff fieldpath, for what union, difference and intersection mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]
HERE = "."
_DEEPEST = 64


def member(node: Tree) -> bool:
    """Whether the node itself is in the set, not only something below it."""
    return not node or HERE in node


def marked(children: Tree) -> Tree:
    """A node that is in the set, with these below it."""
    return {HERE: {}, **children} if children else {}


def sound(tree: Any, depth: int = _DEEPEST) -> bool:
    """Whether what a client sent as a set is one; what is deeper than any object is none."""
    return depth > 0 and isinstance(tree, dict) and all(sound(node, depth - 1) and _is_label(label) for label, node in tree.items())


def _is_label(label: str) -> bool:
    if label == HERE or label[:2] == "f:":
        return True
    if label[:2] not in ("k:", "v:", "i:"):
        return False
    try:
        value = json.loads(label[2:])
    except ValueError:
        return False
    return label[:2] != "k:" or (isinstance(value, dict) and bool(value))


def union(left: Tree, right: Tree) -> Tree:
    """Everything that is in one of them."""
    result = dict(left)
    for label, node in right.items():
        if label != HERE:
            result[label] = _joined(left[label], node) if label in left else node
    return result


def _joined(left: Tree, right: Tree) -> Tree:
    result = union(left, right)
    if result and (member(left) or member(right)):
        result[HERE] = {}
    return result


def difference(left: Tree, right: Tree) -> Tree:
    """What is in ``left`` only. A field is taken out alone, not with what is below it."""
    result = {}
    for label, node in left.items():
        if label != HERE:
            rest = _less(node, right[label]) if label in right else node
            if rest is not None:
                result[label] = rest
    return result


def _less(node: Tree, other: Tree) -> Tree | None:
    rest = difference(node, other)
    if member(node) and not member(other):
        return marked(rest)
    return rest or None


def intersection(left: Tree, right: Tree) -> Tree:
    """What is in both."""
    result = {}
    for label, node in left.items():
        if label != HERE and label in right:
            both = intersection(node, right[label])
            if member(node) and member(right[label]):
                result[label] = marked(both)
            elif both:
                result[label] = both
    return result


def without(tree: Tree, *path: str) -> Tree:
    """The tree less a field and all below it."""
    label, *rest = path
    node = tree.get(label)
    if node is None or (rest and not node):
        return tree
    result = dict(tree)
    below = without(node, *rest) if rest else {}
    if below.keys() - {HERE}:
        result[label] = below
    elif below:
        result[label] = {}
    else:
        del result[label]
    return result


def only(tree: Tree, *path: str) -> Tree:
    """A field and all below it, and nothing else of the tree."""
    label, *rest = path
    if label not in tree:
        return {}
    if not rest:
        return {label: tree[label]}
    below = only(tree[label], *rest)
    return {label: below} if below else {}


def arranged(tree: Tree) -> Tree:
    """The same set as the API server prints it: sorted, itself first."""
    if len(tree) < 2:
        return {label: arranged(node) for label, node in tree.items()}
    return {label: arranged(tree[label]) for label in sorted(tree, key=_place)}


def _place(label: str) -> tuple[str, Any]:
    if label[:2] == "k:":
        return "k", sorted(json.loads(label[2:]).items())
    return "" if label == HERE else label[:1], label


def paths(tree: Tree) -> Iterator[str]:
    """Every field of the set as messages name it: ``.spec.containers[name="web"].image``."""
    return _paths(arranged(tree), "")


def _paths(tree: Tree, prefix: str) -> Iterator[str]:
    for label, node in tree.items():
        if label == HERE:
            continue
        path = prefix + _step(label)
        if member(node):
            yield path
        yield from _paths(node, path)


def _step(label: str) -> str:
    kind, _, rest = label.partition(":")
    if kind == "k":
        return "[" + ",".join(f"{key}={_shown(value)}" for key, value in sorted(json.loads(rest).items())) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]" if kind == "i" else f".{rest}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

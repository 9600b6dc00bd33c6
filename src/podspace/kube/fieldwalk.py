"""Objects as sets of fields: which ones an object has, how two objects differ, an object merged with a part of it, or less some fields.

Called by ``managedfields``. Pure; values are shared with the arguments, never changed.
Source: structured-merge-diff typed, for what counts as a field and how lists are merged, as seen on the wire.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from podspace.kube import fieldsets
from podspace.kube.fieldsets import Tree
from podspace.kube.fieldshapes import Shape, child, children, members


class _Absent:
    """Not there at all; null is there."""


ABSENT = _Absent()


class Comparison(NamedTuple):
    """Fields that are new, that have another value, that are gone."""

    added: Tree
    modified: Tree
    removed: Tree


def compare(shape: Shape, old: Any, new: Any) -> Comparison:
    """How two objects of the same shape differ."""
    added, modified, removed = _compare(shape, old, new)
    return Comparison(added or {}, modified or {}, removed or {})


_Triple = tuple[Tree | None, Tree | None, Tree | None]


def _compare(shape: Shape, old: Any, new: Any) -> _Triple:
    if old is ABSENT:
        return _all(shape, new), None, None
    if new is ABSENT:
        return None, None, _all(shape, old)
    if type(old) is type(new) and old == new:
        return None, None, None
    if shape.kind == "leaf" or (not old and not new):
        return (None, {}, None) if old != new else (None, None, None)
    before = {label: (below, item) for label, below, item in children(shape, old)}
    added, modified, removed = {}, {}, {}
    for label, below, item in children(shape, new):
        more, other, less = _compare(below, before.pop(label, (below, ABSENT))[1], item)
        if more is not None:
            added[label] = more
        if other is not None:
            modified[label] = other
        if less is not None:
            removed[label] = less
    for label, (below, item) in before.items():
        removed[label] = _all(below, item)
    return added or None, modified or None, removed or None


def _all(shape: Shape, value: Any) -> Tree:
    """Every field of a value, structs, maps and lists themselves included."""
    if shape.kind == "leaf" or not value:
        return {}
    return fieldsets.marked({label: _all(below, item) for label, below, item in children(shape, value)})


def field_set(shape: Shape, value: Any) -> Tree:
    """The fields a manifest speaks of: leaves, entries of maps, elements of lists; not the structs, maps and lists around them."""
    return _field_set(shape, value) or {}


def _field_set(shape: Shape, value: Any) -> Tree | None:
    if shape.kind == "leaf":
        return {}
    found: Tree = {}
    for label, below, item in children(shape, value):
        node = _field_set(below, item)
        if shape.kind != "struct":
            found[label] = fieldsets.marked(node or {})
        elif node is not None:
            found[label] = node
        elif item is None or item == {}:
            found[label] = {}
    return found or None


def with_structs(shape: Shape, tree: Tree) -> Tree:
    """The set, and every named field above one of its members."""
    result: Tree = {}
    for label, node in tree.items():
        if label == fieldsets.HERE:
            result[label] = node
            continue
        below = with_structs(child(shape, label), node)
        named = below and shape.kind == "struct" and label[2:] in members(shape.model)
        result[label] = {fieldsets.HERE: {}, **below} if named else below
    return result


def merge(shape: Shape, live: Any, config: Any) -> Any:
    """``live`` with everything that ``config`` says put over it."""
    if live is ABSENT or live is None or shape.kind == "leaf":
        return config
    if config is None:
        return live
    if shape.kind in ("keyed", "set"):
        return _merge_lists(shape, live, config)
    below = {label[2:]: kind for label, kind, _ in children(shape, config)}
    result = dict(live)
    for name, item in config.items():
        result[name] = merge(below[name], live.get(name, ABSENT), item) if name in below else item
    return result


def _merge_lists(shape: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    """In the order of ``config``; what only ``live`` has comes as early as it did there. Live lists may repeat a key, configs may not."""
    wanted = {label: (below, item) for label, below, item in children(shape, config)}
    order = [(label, item) for label, _, item in children(shape, live)]
    present = dict(reversed(order))
    shared = deque(label for label in wanted if label in present)
    result: list[Any] = []
    place = 0
    for label, (below, item) in wanted.items():
        while place < len(order) and (order[place][0] not in wanted or not shared or order[place][0] != shared[0]):
            if order[place][0] not in wanted:
                result.append(order[place][1])
            place += 1
        result.append(merge(below, present.get(label, ABSENT), item))
        if label in present:
            shared.popleft()
            place += place < len(order) and order[place][0] == label
    return result + [item for label, item in order[place:] if label not in wanted]


def remove(shape: Shape, value: Any, tree: Tree) -> Any:
    """The value less the members of the set, and what became empty by that; ABSENT if nothing is left."""
    if shape.kind == "leaf" or not value or not tree:
        return value
    rest = []
    for label, below, item in children(shape, value):
        node = tree.get(label)
        kept = item if node is None else ABSENT if fieldsets.member(node) else remove(below, item, node)
        if kept is not ABSENT:
            rest.append((label, kept))
    if not rest:
        return ABSENT
    return [item for _, item in rest] if isinstance(value, list) else {label[2:]: item for label, item in rest}

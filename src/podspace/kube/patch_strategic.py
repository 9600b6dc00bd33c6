"""Strategic merge patch: a merge patch that knows which lists are maps in disguise.

Called by ``patch``. Directives in the patch: ``$patch: replace|delete`` (in a map or an element of a merged list), ``$retainKeys``,
``$deleteFromPrimitiveList/<list>``, ``$setElementOrder/<list>``. Order of a merged list: that of $setElementOrder, else of the patch;
what only the server has keeps its order and stands before what it stood before. So without $setElementOrder new elements come first.
Source: behaviour of Kubernetes 1.36 (strategicpatch of k8s.io/apimachinery), recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from podspace import errors
from podspace.kube import schema
from podspace.kube.gotext import go_print, go_type
from podspace.kube.json import JSON
from podspace.kube.patch_keys import MERGED_LISTS

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PREFIX = "$deleteFromPrimitiveList"
_ORDER_PREFIX = "$setElementOrder"


def merge(kind: str, original: JSON, patch: JSON) -> JSON:
    """Return the patched object. ``kind`` unknown to ``schema``: only metadata is merged with keys, other lists are replaced."""
    return _merge_map(kind, original, patch)


def _merge_map(model: str, original: JSON, patch: JSON) -> JSON:
    if _DIRECTIVE in patch:
        return _directed(patch)
    result = _retained(original, patch)
    ordered = _merge_ordered(model, result, patch)
    for key, value in patch.items():
        if key in ordered or key == _RETAIN or key.startswith(_ORDER_PREFIX):
            continue
        if key.startswith(_DELETE_PREFIX):
            _delete_values(result, _list_name(key, _DELETE_PREFIX, "primitive list"), value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(model, key, result.get(key), value)
    return result


def _merge_value(model: str, key: str, original: Any, value: Any) -> Any:
    if isinstance(original, dict) and isinstance(value, dict):
        return _merge_map(_child(model, key), original, value)
    if isinstance(original, list) and isinstance(value, list) and _is_merged(model, key):
        return _merge_list(model, key, original, value)
    return _fresh(value)


def _directed(patch: JSON) -> JSON:
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        return {key: _fresh(value) for key, value in patch.items() if key != _DIRECTIVE and value is not None}
    if directive == "delete":
        return {}
    raise _bad_directive(patch)


def _retained(original: JSON, patch: JSON) -> JSON:
    """A copy of the original, less what $retainKeys does not name."""
    if _RETAIN not in patch:
        return dict(original)
    keys = patch[_RETAIN]
    named = [
        key for key, value in patch.items() if value is not None and key != _RETAIN and not key.startswith((_DELETE_PREFIX, _ORDER_PREFIX))
    ]
    if not isinstance(keys, list) or any(key not in keys for key in named):
        raise errors.BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in keys}


def _merge_ordered(model: str, result: JSON, patch: JSON) -> set[str]:
    """Merge into ``result`` the lists that have a $setElementOrder; return their names."""
    done = set()
    for directive, order in patch.items():
        if not directive.startswith(_ORDER_PREFIX):
            continue
        key = _list_name(directive, _ORDER_PREFIX, "setElementOrder list")
        for value in (order, result.get(key, order), patch.get(key, order)):
            if not isinstance(value, list):
                raise errors.Internal(f"expected a {go_type([])}, but received a {go_type(value)}")
        if schema.known(model) and key not in schema.fields(model):
            raise errors.Internal(f'unable to find api field in struct {model} for the json field "{key}"')
        merge_key = _merge_key(model, key)
        _check_order(patch.get(key, []), order, merge_key)
        if key in result or key in patch:
            before = result.get(key, [])
            merged = _merge_value(model, key, result.get(key), patch[key]) if key in patch else before
            result[key] = _arranged(merged, order, before, merge_key)
            done.add(key)
    return done


def _check_order(elements: Sequence[Any], order: Sequence[Any], merge_key: str) -> None:
    """What the patch adds or changes must be in $setElementOrder, in the same relative order."""
    pending = [element for element in elements if not (merge_key and isinstance(element, dict) and _DIRECTIVE in element)]
    position = 0
    for wanted in order:
        if position < len(pending) and _identity(pending[position], merge_key) == _identity(wanted, merge_key):
            position += 1
    if order and position < len(pending):
        raise errors.Internal(f"The order in patch list:\n{go_print(elements)}\n doesn't match {_ORDER_PREFIX} list:\n{go_print(order)}\n")


def _merge_list(model: str, key: str, original: list[Any], patch: list[Any]) -> list[Any]:
    elements = [*original, *patch]
    if not elements:
        return original
    _check_types(elements)
    merge_key = _merge_key(model, key)
    if not isinstance(elements[0], dict):
        return _arranged(list(dict.fromkeys(elements)), patch, original, "")
    if not merge_key:
        raise errors.Internal(f"cannot merge lists without merge key for {_child(model, key)}")
    kept, additions = _obey_elements(original, patch, merge_key)
    merged = list(kept)
    for addition in additions:
        name = _identity(addition, merge_key)
        place = next((i for i, element in enumerate(merged) if _comparable(element.get(merge_key)) == name), None)
        if place is None:
            merged.append(_fresh(addition))
        else:
            merged[place] = _merge_map(_child(model, key), merged[place], addition)
    return _arranged(merged, additions, kept, merge_key)


def _obey_elements(original: list[JSON], patch: list[JSON], merge_key: str) -> tuple[list[JSON], list[JSON]]:
    """Carry out the elements that are directives; return what is left of the original, and the other elements."""
    replace, additions = False, []
    for element in patch:
        directive = element.get(_DIRECTIVE)
        if directive == "replace":
            replace = True
            continue
        if _DIRECTIVE in element and directive != "delete":
            raise errors.Internal("merging lists cannot yet be specified in the patch") if directive == "merge" else _bad_directive(element)
        name = _identity(element, merge_key)
        if directive == "delete":
            original = [other for other in original if _comparable(other.get(merge_key)) != name]
        else:
            additions.append(element)
    return ([_fresh(element) for element in additions], []) if replace else (original, additions)


def _arranged(merged: list[Any], order: Sequence[Any], server_order: Sequence[Any], merge_key: str) -> list[Any]:
    """Sort the elements named in ``order`` by it, and weave the others in where the server had them."""
    ranks = _ranks(order, merge_key)
    named = [element for element in merged if _identity(element, merge_key) in ranks]
    others = [element for element in merged if _identity(element, merge_key) not in ranks]
    named.sort(key=lambda element: ranks[_identity(element, merge_key)])
    places = _ranks(server_order, merge_key)
    result: list[Any] = []
    for element in named:
        place = places.get(_identity(element, merge_key), -1)
        while others and places.get(_identity(others[0], merge_key), len(places)) < place:
            result.append(others.pop(0))
        result.append(element)
    return result + others


def _ranks(elements: Sequence[Any], merge_key: str) -> dict[Any, int]:
    ranks: dict[Any, int] = {}
    for rank, element in enumerate(elements):
        ranks.setdefault(_identity(element, merge_key), rank)
    return ranks


def _identity(element: Any, merge_key: str) -> Any:
    """What tells one element of a merged list from another: the value of its merge key, or itself. Always hashable."""
    if not merge_key:
        return _comparable(element)
    if not isinstance(element, dict):
        raise errors.Internal(f"expected a {go_type({})}, but received a {go_type(element)}")
    if merge_key not in element:
        raise errors.Internal(f"map: {go_print(element)} does not contain declared merge key: {merge_key}")
    return _comparable(element[merge_key])


def _comparable(value: Any) -> Any:
    """A list or map where a plain value belongs matches nothing: what is made of it is refused by its type when it is decoded."""
    return (go_type(value), go_print(value)) if isinstance(value, (dict, list)) else (isinstance(value, bool), value)


def _check_types(elements: Sequence[Any]) -> None:
    types = [go_type(element) for element in elements]
    if types[0] == go_type([]):
        raise errors.Invalid("", "", (), message="the server rejected our request due to an error in our request")
    for other in types[1:]:
        if other != types[0]:
            raise errors.Internal(f"list element types are not identical: {types[0]} {other}")


def _delete_values(result: JSON, key: str, values: Any) -> None:
    if values is None:
        result.pop(key, None)
    elif isinstance(values, list) and isinstance(result.get(key), list):
        result[key] = [element for element in result[key] if element not in values]


def _list_name(directive: str, prefix: str, what: str) -> str:
    start, slash, name = directive.partition("/")
    if start != prefix or not slash:
        raise errors.BadRequest(f"invalid patch format of {what}")
    return name


def _fresh(value: Any) -> Any:
    """What becomes of patch content that meets nothing: nulls and directives mean nothing there."""
    if isinstance(value, list):
        return [
            _fresh(element) for element in value if not (isinstance(element, dict) and element.get(_DIRECTIVE) in ("delete", "replace"))
        ]
    if not isinstance(value, dict):
        return value
    if value.get(_DIRECTIVE) == "delete":
        return {}
    return {
        key: _fresh(member)
        for key, member in value.items()
        if member is not None and key not in (_DIRECTIVE, _RETAIN) and not key.startswith((_DELETE_PREFIX + "/", _ORDER_PREFIX + "/"))
    }


def _bad_directive(patch: JSON) -> errors.Internal:
    return errors.Internal(f"unknown patch type: {go_print(patch[_DIRECTIVE])} in map: {go_print(patch)}")


def _is_merged(model: str, key: str) -> bool:
    return key in MERGED_LISTS.get(model, {})


def _merge_key(model: str, key: str) -> str:
    return MERGED_LISTS.get(model, {}).get(key, "")


def _child(model: str, key: str) -> str:
    """The model of a member, or of a list's elements; "" for plain maps and what is not known."""
    if not schema.known(model):
        return "ObjectMeta" if key == "metadata" else ""
    field = schema.fields(model).get(key)
    return field.type.base if field and field.type.shape in ("", "[]") and schema.known(field.type.base) else ""

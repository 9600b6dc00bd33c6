"""The three kinds of patch, each from one object to a new one; inputs are never changed, unchanged parts are shared.

Called by ``api`` for PATCH. It knows neither what may be changed nor the order of keys: validation, ``strict.normalize`` and
defaulting come after. Errors are worded as a real API server words them.
Source: RFC 6902 (JSON patch), RFC 7386 (merge patch); the strategic merge patch has no document but its behaviour.
"""

from __future__ import annotations

from typing import Any

from podspace import errors
from podspace.kube.gotext import go_type
from podspace.kube.json import JSON
from podspace.kube.patch_json import apply as _apply_operations
from podspace.kube.patch_strategic import merge as _merge_strategically

MAX_OPERATIONS = 10_000


def json_patch(obj: JSON, ops: Any) -> JSON:
    """Apply a decoded RFC 6902 patch.

    Raises: BadRequest (no list of objects), TooLarge (over MAX_OPERATIONS), Invalid with the API server's one sentence if any of the
    operations fails.
    """
    if not isinstance(ops, list):
        raise errors.BadRequest(f"json: cannot unmarshal {_json_type(ops)} into Go value of type jsonpatch.Patch")
    for op in ops:
        if not isinstance(op, dict):
            raise errors.BadRequest(f"json: cannot unmarshal {_json_type(op)} into Go value of type jsonpatch.Operation")
    if len(ops) > MAX_OPERATIONS:
        raise errors.TooLarge(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}")
    return _apply_operations(obj, ops)


def merge_patch(obj: JSON, patch: Any) -> JSON:
    """Apply a decoded RFC 7386 patch: null removes, lists are replaced.  Raises: BadRequest if it is no object."""
    if not isinstance(patch, dict):
        raise errors.BadRequest(f"error decoding patch: json: cannot unmarshal {_json_type(patch)} into Go value of type {go_type({})}")
    return _merged(obj, patch)


def strategic_merge(kind: str, obj: JSON, patch: Any) -> JSON:
    """Apply a decoded strategic merge patch to an object of a kind (``schema.model_of`` for other groups).

    Raises: BadRequest (malformed directives), Invalid, Internal (the API server answers 500 for what does not fit the object).
    """
    if not isinstance(patch, dict):
        raise errors.BadRequest(f"json: cannot unmarshal {_json_type(patch)} into Go value of type {go_type({})}")
    return _merge_strategically(kind, obj, patch)


def _merged(original: Any, patch: JSON) -> JSON:
    result: JSON = dict(original) if isinstance(original, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(result.get(key), value)
        else:
            result[key] = _without_nulls(value)
    return result


def _without_nulls(value: Any) -> Any:
    """Inside a list null members of objects mean "unset" too (RFC 7386 is silent, the API server drops them)."""
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _json_type(value: Any) -> str:
    """As encoding/json names a JSON value in its errors."""
    if isinstance(value, bool):
        return "bool"
    return {dict: "object", list: "array", str: "string", int: "number", float: "number"}.get(type(value), "null")

"""JSON patch (RFC 6902) on one object, as the API server's library does it.

Called by ``patch``. Every failure is the same error: the API server keeps the reason to itself.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from podspace import errors
from podspace.kube.json import JSON

_COPY_LIMIT_BYTES = 3 << 20  # of all copies together: a few that each double the document fill any memory
_INDEX = re.compile(r"-?(0|[1-9][0-9]*)")


class _DoesNotApply(Exception):
    """An operation does not fit the document."""


def apply(obj: JSON, ops: Sequence[JSON]) -> JSON:
    """Return the patched copy.  Raises: Invalid, always with the same sentence."""
    document: Any = copy.deepcopy(obj)
    copied = 0
    try:
        for op in ops:
            if op.get("op") == "copy":
                copied += len(json.dumps(_get(document, _path(op, "from"))))
                if copied > _COPY_LIMIT_BYTES:
                    raise _DoesNotApply("too much is copied")
            document = _OPERATIONS[_text(op, "op")](document, op)
    except (_DoesNotApply, KeyError, RecursionError):
        raise rejected() from None
    if not isinstance(document, dict):
        raise rejected()
    return document


def rejected() -> errors.Invalid:
    """The 422 that says nothing: neither kind nor name nor causes."""
    return errors.Invalid("", "", (), message="the server rejected our request due to an error in our request")


def _text(op: JSON, member: str) -> str:
    value = op.get(member)
    if not isinstance(value, str):
        raise _DoesNotApply(f"no {member}")
    return value


def _path(op: JSON, member: str = "path") -> list[str]:
    """RFC 6901 into tokens; [] is the whole document."""
    text = _text(op, member)
    if text and not text.startswith("/"):
        raise _DoesNotApply(text)
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def _index(items: list[Any], token: str, *, end: bool) -> int:
    """``end``: one past the last is allowed. Negative ones count from the end, an extension of the API server's library."""
    if not _INDEX.fullmatch(token):
        raise _DoesNotApply(token)
    index = int(token)
    limit = len(items) + (1 if end else 0)
    if not -limit <= index < limit:
        raise _DoesNotApply(token)
    return index + limit if index < 0 else index


def _get(document: Any, path: Sequence[str]) -> Any:
    for token in path:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, end=False)]
        else:
            raise _DoesNotApply(token)
    return document


def _put(document: Any, path: Sequence[str], value: Any) -> Any:
    """Insert into a list, set in an object."""
    if not path:
        return value
    parent, token = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[token] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if token == "-" else _index(parent, token, end=True), value)
    else:
        raise _DoesNotApply(token)
    return document


def _take(document: Any, path: Sequence[str]) -> None:
    if not path:
        raise _DoesNotApply("the whole document")
    parent, token = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict) and token in parent:
        del parent[token]
    elif isinstance(parent, list):
        del parent[_index(parent, token, end=False)]
    else:
        raise _DoesNotApply(token)


def _add(document: Any, op: JSON) -> Any:
    return _put(document, _path(op), copy.deepcopy(op["value"]))


def _remove(document: Any, op: JSON) -> Any:
    _take(document, _path(op))
    return document


def _replace(document: Any, op: JSON) -> Any:
    path, value = _path(op), copy.deepcopy(op["value"])
    if not path:
        return value
    parent, token = _get(document, path[:-1]), path[-1]
    _get(document, path)
    parent[_index(parent, token, end=False) if isinstance(parent, list) else token] = value
    return document


def _move(document: Any, op: JSON) -> Any:
    source, target = _path(op, "from"), _path(op)
    if target[: len(source)] == source and len(target) > len(source):
        raise _DoesNotApply("into itself")
    value = _get(document, source)
    _take(document, source)
    return _put(document, target, value)


def _copy(document: Any, op: JSON) -> Any:
    return _put(document, _path(op), copy.deepcopy(_get(document, _path(op, "from"))))


def _test(document: Any, op: JSON) -> Any:
    """A missing member equals null, as in the API server's library."""
    path, value = _path(op), op.get("value")
    try:
        found = _get(document, path)
    except _DoesNotApply:
        _get(document, path[:-1])
        found = None
    if not _equal(found, value):
        raise _DoesNotApply("test")
    return document


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: unlike in Python, true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


_OPERATIONS: Mapping[str, Callable[[Any, JSON], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}

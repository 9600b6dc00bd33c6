"""Whether what somebody applies fits the schema: the complaints of server-side apply, which differ from those of decoding.

Called by the apply handler before anything is merged. Pure.
Source: structured-merge-diff typed validation, as seen on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from podspace.kube import schema, strict
from podspace.kube.fieldshapes import NoKey, Shape, key_label, members

_NUMBERS = ("int32", "int64", "float64")
_UNTYPED = ("quantity", "intstr", "raw")


def complaints(shape: Shape, value: Any) -> list[str]:
    """``.spec.foo: field not declared in schema``, in the order of the document."""
    return list(_struct(shape.model, value, ""))


def sentence(found: list[str]) -> str:
    """One complaint as it is, several as a list."""
    return found[0] if len(found) == 1 else "\n  ".join(["errors:", *found])


def _struct(model: str, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    if not isinstance(value, dict):
        yield f"{path or '.'}: expected map, got {_go(value)}"
        return
    known = members(model)
    for name, item in value.items():
        if name not in known:
            yield f"{path}.{name}: field not declared in schema"
        else:
            shape = known[name][1]
            assert shape.type is not None
            yield from _typed(shape.type, shape, item, f"{path}.{name}")


def _typed(kind: schema.Type, shape: Shape | None, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    if kind.shape.startswith(schema.LIST):
        yield from _list(kind, shape, value, path)
    elif kind.shape.startswith(schema.MAP):
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_go(value)}"
            return
        for key, item in value.items():
            yield from _typed(kind.element, None, item, f"{path}.{key}")
    elif kind.is_model:
        yield from _struct(kind.base, value, path)
    else:
        yield from _scalar(kind.base, value, path)


def _list(kind: schema.Type, shape: Shape | None, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got {_go(value)}"
        return
    seen: set[str] = set()
    for place, item in enumerate(value):
        where = f"[{place}]"
        if shape is not None and shape.kind == "keyed" and isinstance(item, dict):
            try:
                label = key_label(shape, item, place)
            except NoKey as lack:
                yield (
                    f"{path}: element {place}: associative list with keys has an element that omits key field {json.dumps(lack.args[1])} "
                    + ("(and doesn't have default value)")
                )
                continue
            where = "[" + ",".join(f"{key}={json.dumps(found)}" for key, found in json.loads(label[2:]).items()) + "]"
            if label in seen:
                yield f"{path}: duplicate entries for key {where}"
            seen.add(label)
        elif shape is not None and shape.kind == "keyed" and item is None:
            yield f"{path}: element {place}: associative list with keys may not have null elements"
            continue
        elif shape is not None and shape.kind == "set":
            where = f"[={json.dumps(item)}]"
            if where in seen:
                yield f"{path}: duplicate entries for key {where}"
            seen.add(where)
        yield from _typed(kind.element, None, item, f"{path}{where}")


def _scalar(base: str, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, (dict, list)):
        if base != "raw":
            yield f"{path}: expected {_name(base)}, got {_go(value)}"
    elif base == "bool":
        if not isinstance(value, bool):
            yield f"{path}: expected boolean, got {_go(value)}"
    elif base in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path}: expected numeric (int or float), got {_go(value)}"
    elif base not in _UNTYPED and not isinstance(value, str):
        yield f"{path}: expected string, got {_go(value)}"


def _name(base: str) -> str:
    return {"bool": "boolean", "int32": "numeric (int or float)", "int64": "numeric (int or float)"}.get(base, "string")


def _go(value: Any) -> str:
    """A value as Go prints the wrapper around it."""
    if isinstance(value, dict):
        return f"&{{map[{' '.join(f'{key}:{item}' for key, item in sorted(value.items()))}]}}"
    if isinstance(value, bool):
        return f"&value.valueUnstructured{{Value:{str(value).lower()}}}"
    if isinstance(value, str):
        return f"&value.valueUnstructured{{Value:{json.dumps(value, ensure_ascii=False)}}}"
    if isinstance(value, list):
        return "&value.valueUnstructured{Value:[]interface {}{" + ", ".join(_plain(item) for item in value) + "}}"
    return f"&value.valueUnstructured{{Value:{getattr(value, 'text', value)}}}" if isinstance(value, (int, strict.Number)) else repr(value)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

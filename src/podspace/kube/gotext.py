"""How Go prints values of decoded JSON: a few error messages of the API server hold such text, and clients see it.

Called by ``patch*`` and by ``api`` for the same messages.
"""

from __future__ import annotations

import json
from typing import Any

_TYPES: dict[type, str] = {
    dict: "map[string]interface {}",
    list: "[]interface {}",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
}


def go_print(value: Any) -> str:
    """fmt's ``%v``: ``map[image:x name:b]`` with sorted keys, ``[a b]``, ``<nil>``."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_print(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_print(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    return value if isinstance(value, str) else json.dumps(value)


def go_type(value: Any) -> str:
    """reflect's name of the type that decoding into an interface gives."""
    return _TYPES.get(type(value), "%!s(<nil>)")

"""YAML read as the API server reads it: YAML 1.1 by libyaml's scanner, with Go-yaml's idea of what a plain scalar means.

Unlike PyYAML's: dates stay text, ``1:30`` is text, ``1e3`` is a number, ``y`` and ``n`` are booleans. Keys come out sorted and as
strings, because the API server turns YAML into JSON first. Called by ``decode``; imports PyYAML only when a body is YAML.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

from podspace.kube import strict

if TYPE_CHECKING:
    import yaml

_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INT = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", re.ASCII)
_DECIMAL_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)


_NODE_LIMIT = 1_000_000  # an alias of an alias of an alias ... must not eat the server
_PLAIN = "plain"
_BAD_ESCAPE = "found unknown escape character"
_TYPED = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))


def load(text: bytes) -> tuple[Any, list[str]]:
    """(value of the first document, complaints about repeated keys such as ``line 6: key "a" already set in map``).

    Raises: ValueError with Go-yaml's sentence.
    """
    import yaml

    try:
        reader = _Reader()
        node = _compose(text.decode("utf-8"))
        return (None if node is None else reader.value(node)), reader.complaints
    except yaml.MarkedYAMLError as error:
        raise ValueError(_sentence(error)) from error
    except UnicodeDecodeError as error:
        raise ValueError("yaml: invalid leading UTF-8 octet") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"yaml: {' '.join(str(error).split())}") from error


def _compose(text: str) -> Any:
    """The node of the first document. Go-yaml lets ``"\\'"`` pass, libyaml does not: such a backslash is taken out and all read again."""
    import yaml

    while True:
        loader = _loader_class()(text)
        try:
            return loader.get_node() if loader.check_node() else None
        except yaml.scanner.ScannerError as error:
            spot = text.find("\\'", max(error.problem_mark.index - 1, 0)) if error.problem == _BAD_ESCAPE and error.problem_mark else -1
            if spot < 0:
                raise
            text = text[:spot] + text[spot + 1 :]
        finally:
            loader.dispose()


@functools.cache
def _loader_class() -> Any:
    import yaml

    class Loader(yaml.CSafeLoader):
        """Leaves plain scalars unresolved: their meaning is Go's, not PyYAML's."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return _PLAIN if implicit[0] else "tag:yaml.org,2002:str"
            return "tag:yaml.org,2002:map" if kind is yaml.MappingNode else "tag:yaml.org,2002:seq"

    return Loader


class _Reader:
    """Turns one document's nodes into values."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._seen = 0

    def value(self, node: Any) -> Any:
        self._seen += 1
        if self._seen > _NODE_LIMIT:
            raise ValueError("yaml: document contains excessive aliasing")
        if node.id == "scalar":
            return _scalar(node)
        if node.id == "sequence":
            return [self.value(item) for item in node.value]
        return self._mapping(node)

    def _mapping(self, node: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.value == "<<" and key_node.tag == _PLAIN:
                _merge(merged, self.value(value_node))
                continue
            key = _key(self.value(key_node))
            if key in result:
                self.complaints.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
            result[key] = self.value(value_node)
        return dict(sorted({**merged, **result}.items()))


def _merge(merged: dict[str, Any], value: Any) -> None:
    for source in value if isinstance(value, list) else [value]:
        if not isinstance(source, dict):
            raise ValueError("yaml: map merge requires map or sequence of maps as the value")
        for key, item in source.items():
            merged.setdefault(key, item)


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(getattr(value, "text", value))
    raise ValueError(f"yaml: invalid map key: {value!r}")


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.tag in (_PLAIN, *_TYPED):
        return _plain(text)
    return text


@functools.lru_cache(maxsize=4096)
def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _INT.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text) and (value := float(text)) and math.isfinite(value):
        return strict.Number(repr(value)) if not value.is_integer() or abs(value) >= 1e21 else int(value)
    return 0 if _FLOAT.fullmatch(text) and float(text) == 0 else text


def _integer(text: str) -> int:
    if _DECIMAL_INT.fullmatch(text):
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0"
        return int(text, 8 if octal else 10)
    return int(text, 0)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    """``yaml: line 15: found a tab character that violates indentation``: Go's port of libyaml counts lines its own way."""
    import yaml

    extra = 1 if isinstance(error, yaml.scanner.ScannerError) else 0
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line + extra
    elif error.context_mark is not None and error.context_mark.line:
        line = error.context_mark.line + extra
    where = f"line {line}: " if line else ""
    return f"yaml: {where}{error.problem or error.context or 'unknown problem parsing YAML content'}"

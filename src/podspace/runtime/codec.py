"""The engine's nouns as JSON and back, for the files that let a new server find what the old one ran.

Any frozen dataclass of ``runtime`` made of strings, numbers, booleans, paths, enums, tuples, string-keyed mappings and other such
dataclasses. Fields equal to their default are left out; unknown ones are ignored, so an older server can read a newer one's file.
Called by ``runtime.layout``.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")
_Decoder = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Return what ``json.dumps`` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(item) for field in dataclasses.fields(value) if (item := getattr(value, field.name)) != _default(field)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def decode(kind: type[T], data: Any) -> T:
    """Return an object of ``kind``. Raises: KeyError, TypeError, ValueError when ``data`` is not one."""
    wanted: Any = kind
    return cast(T, _decoder(wanted)(data))


@functools.cache
def _decoder(kind: Any) -> _Decoder:
    if dataclasses.is_dataclass(kind):
        return _dataclass(cast(type, kind))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return _tuple(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _decoder(arguments[1])
        return lambda data: {key: item(value) for key, value in data.items()}
    if origin in (types.UnionType, typing.Union):
        inner = _decoder(next(argument for argument in arguments if argument is not type(None)))
        return lambda data: None if data is None else inner(data)
    if isinstance(kind, type) and issubclass(kind, Enum | Path):
        return cast(_Decoder, kind)
    return lambda data: data


def _tuple(arguments: tuple[Any, ...]) -> _Decoder:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _decoder(arguments[0])
        return lambda data: tuple(item(value) for value in data)
    items = [_decoder(argument) for argument in arguments]
    return lambda data: tuple(item(value) for item, value in zip(items, data, strict=True))


def _dataclass(kind: type) -> _Decoder:
    hints: dict[str, _Decoder] | None = None

    def build(data: Any) -> Any:
        nonlocal hints
        if hints is None:
            known = typing.get_type_hints(kind)
            hints = {field.name: _decoder(known[field.name]) for field in dataclasses.fields(kind)}
        return kind(**{name: hints[name](value) for name, value in data.items() if name in hints})

    return build

"""Protobuf request bodies to JSON: kubectl sends them for ``create configmap``, ``auth can-i``, ``debug --copy-to`` and others.

Called by ``decode`` only; what comes out goes through ``strict`` like any JSON. Answers are never protobuf: clients accept JSON.
The field numbers are in ``protobuf_table.json`` ("json name, type, marks": list, map, inline, ptr), derived by ``tools/gen_protobuf.py``.
Source: protobuf encoding; apimachinery runtime/serializer/protobuf (the envelope).
"""

from __future__ import annotations

import base64
import datetime
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from podspace.kube import schema
from podspace.kube.json import JSON

MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: str
    is_list: bool
    is_map: bool
    is_inline: bool
    is_pointer: bool  # its zero is a value; the zero of any other scalar means unset


def decode(body: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, bytes of the object) of an envelope. Raises ValueError with the API server's sentence."""
    if not body.startswith(MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    type_meta, raw = b"", b""
    for number, value in _records(body[len(MAGIC) :]):
        if number == 1:
            type_meta = _expect_bytes(value)
        elif number == 2:
            raw = _expect_bytes(value)
    names = {number: _text(value) for number, value in _records(type_meta)}
    return names.get(1, ""), names.get(2, ""), raw


def message(kind: str, raw: bytes) -> JSON:
    """One object as JSON, zeros of plain scalars left out. Raises ValueError for broken bytes or a kind without a table."""
    if kind not in _table():
        raise ValueError(f"no protobuf table for {kind}")
    return _message(kind, raw, 0)


def _message(kind: str, raw: bytes, depth: int) -> JSON:
    if depth > _MAX_DEPTH:
        raise ValueError("proto: message nested too deeply")
    known = _table()[kind]
    result: JSON = {}
    for number, value in _records(raw):
        field = known.get(number)
        if field is not None:
            _store(result, field, value, depth)
    return result


def _store(result: JSON, field: _Field, value: int | bytes, depth: int) -> None:
    if field.is_map:
        key, item = _entry(field, _expect_bytes(value), depth)
        result.setdefault(field.name, {})[key] = item
    elif field.is_list:
        result.setdefault(field.name, []).extend(_items(field.kind, value, depth))
    elif field.is_inline:
        result.update(_message(field.kind, _expect_bytes(value), depth + 1))
    else:
        converted = _value(field.kind, value, depth)
        if converted not in ("", 0, False, None) or field.is_pointer:
            result[field.name] = converted


def _items(kind: str, value: int | bytes, depth: int) -> list[Any]:
    """One element, or several packed integers."""
    if kind in ("int32", "int64", "bool") and isinstance(value, bytes):
        return [_value(kind, number, depth) for number in _packed(value)]
    return [_value(kind, value, depth)]


def _entry(field: _Field, raw: bytes, depth: int) -> tuple[str, Any]:
    key, item = "", _EMPTY.get(field.kind, "")
    for number, value in _records(raw):
        if number == 1:
            key = _text(value)
        elif number == 2:
            item = _value(field.kind, value, depth)
    return key, item


_EMPTY: dict[str, Any] = {"Quantity": "0", "ExtraValue": []}


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    convert = _CONVERTERS.get(kind)
    if convert is not None:
        return convert(value)
    return _message(kind, _expect_bytes(value), depth + 1)


def _records(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, varint or bytes); fixed-width values come as bytes."""
    place, end = 0, len(raw)
    while place < end:
        tag, place = _varint(raw, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(raw, place)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if wire == _BYTES:
            size, place = _varint(raw, place)
        if size < 0 or place + size > end:
            raise ValueError("unexpected EOF" if size >= 0 else f"proto: illegal wireType {wire}")
        yield number, raw[place : place + size]
        place += size


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    result = shift = 0
    while place < len(raw) and shift < 70:
        byte = raw[place]
        result |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return result & (2**64 - 1), place
        shift += 7
    raise ValueError("unexpected EOF" if shift < 70 else "proto: integer overflow")


def _packed(raw: bytes) -> Iterator[int]:
    place = 0
    while place < len(raw):
        value, place = _varint(raw, place)
        yield value


def _expect_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("proto: wrong wireType = 0")
    return value


def _text(value: int | bytes) -> str:
    return _expect_bytes(value).decode("utf-8", "replace")


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("proto: wrong wireType = 2")
    return value - 2**64 if value >= 2**63 else value


def _quantity(value: int | bytes) -> str:
    return next((_text(item) for number, item in _records(_expect_bytes(value)) if number == 1), "0")


def _moment(value: int | bytes) -> tuple[int, int]:
    parts = {number: _signed(item) for number, item in _records(_expect_bytes(value))}
    return parts.get(1, 0), parts.get(2, 0)


def _time(value: int | bytes) -> str | None:
    if not _expect_bytes(value):
        return None
    seconds, _ = _moment(value)
    return _rfc3339(seconds, 0, "seconds")


def _micro_time(value: int | bytes) -> str | None:
    if not _expect_bytes(value):
        return None
    seconds, nanos = _moment(value)
    return _rfc3339(seconds, nanos, "microseconds")


def _rfc3339(seconds: int, nanos: int, digits: str) -> str:
    """Go's zero time is in the year 0001, which strftime would write with one digit."""
    return (_EPOCH + datetime.timedelta(seconds=seconds, microseconds=nanos // 1000)).isoformat(timespec=digits) + "Z"


_EPOCH = datetime.datetime(1970, 1, 1)


def _int_or_string(value: int | bytes) -> int | str:
    parts = dict(_records(_expect_bytes(value)))
    return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))


def _raw_json(value: int | bytes) -> Any:
    raw = next((_expect_bytes(item) for number, item in _records(_expect_bytes(value)) if number == 1), b"")
    return json.loads(raw) if raw else None


_CONVERTERS: dict[str, Callable[[int | bytes], Any]] = {
    "string": _text,
    "bool": lambda value: bool(_signed(value)),
    "int32": _signed,
    "int64": _signed,
    "bytes": lambda value: base64.b64encode(_expect_bytes(value)).decode(),
    "Quantity": _quantity,
    "Time": _time,
    "MicroTime": _micro_time,
    "IntOrString": _int_or_string,
    "FieldsV1": _raw_json,
    "RawExtension": _raw_json,
    "ExtraValue": lambda value: [_text(item) for _, item in _records(_expect_bytes(value))],
}


@functools.cache
def _table() -> dict[str, dict[int, _Field]]:
    table: dict[str, dict[str, str]] = json.loads(schema.data("protobuf_table.json"))
    return {kind: {int(number): _field(text) for number, text in fields.items()} for kind, fields in table.items()}


def _field(text: str) -> _Field:
    name, kind, *marks = text.split()
    return _Field(name, kind, "list" in marks, "map" in marks, "inline" in marks, "ptr" in marks)

"""The OpenAPI v2 document as the protobuf message kubectl asks for: for those that know no v3 (1.20 to 1.26), and for Lists.

Called through ``schema.openapi_v2`` only. It says what ``openapi`` says, in the other format: kubectl looks for unknown fields in it,
explains fields, learns how lists are merged, and whether PATCH takes ``dryRun``.
Source: gnostic openapiv2/OpenAPIv2.proto (field numbers); what a real API server's document holds of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from podspace.kube.json import JSON

_V3_REFERENCE = "#/components/schemas/"
_V2_REFERENCE = "#/definitions/"
_PATCH = 8


def encode(documents: Iterable[JSON]) -> bytes:
    """One message for the v3 documents of all groups."""
    paths, definitions = b"", {}
    for document in documents:
        definitions.update(document["components"]["schemas"])
        for path, item in document["paths"].items():
            paths += _field(2, _named(path, _path(item)))
    schemas = b"".join(_field(1, _named(name, _schema(schema))) for name, schema in definitions.items())
    info = _text(1, "Kubernetes") + _text(2, "1.36")
    return _text(1, "2.0") + _field(2, info) + _field(8, paths) + _field(9, schemas)


def _path(item: JSON) -> bytes:
    operation = item.get("patch")
    if operation is None:
        return b""
    parameters = b"".join(_field(8, _query_parameter(parameter["name"])) for parameter in operation["parameters"])
    return _field(_PATCH, parameters + _extensions(13, operation))


def _query_parameter(name: str) -> bytes:
    """ParametersItem of Parameter of NonBodyParameter of QueryParameterSubSchema."""
    return _field(1, _field(2, _field(3, _text(2, "query") + _text(4, name) + _text(6, "string"))))


def _schema(schema: JSON) -> bytes:
    """A reference with a description is wrapped in "allOf" in v3, and stands for itself in v2."""
    message = b""
    (target,) = schema.get("allOf") or (schema,)
    if reference := target.get("$ref"):
        message += _text(1, reference.replace(_V3_REFERENCE, _V2_REFERENCE))
    message += _text(2, schema.get("format", "")) + _text(4, schema.get("description", ""))
    if "additionalProperties" in schema:
        message += _field(21, _field(1, _schema(schema["additionalProperties"])))
    if kind := schema.get("type"):
        message += _field(22, _text(1, kind))
    if "items" in schema:
        message += _field(23, _field(1, _schema(schema["items"])))
    if "properties" in schema:
        message += _field(25, b"".join(_field(1, _named(name, _schema(one))) for name, one in schema["properties"].items()))
    return message + _extensions(31, schema)


def _extensions(number: int, obj: JSON) -> bytes:
    return b"".join(_field(number, _named(name, _text(2, _yaml(value)))) for name, value in obj.items() if name.startswith("x-"))


def _yaml(value: Any) -> str:
    """JSON is YAML."""
    return json.dumps(value, separators=(", ", ": "))


def _named(name: str, message: bytes) -> bytes:
    return _text(1, name) + _field(2, message)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode()) if text else b""


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)

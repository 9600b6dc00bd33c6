"""Request bodies to canonical objects: JSON, YAML or protobuf in, one checked dict out, errors in the API server's words.

Called by ``api`` for every body that is an object or options. Pure: no defaults (``defaults``), no rules (``validation``).
Source: apiserver endpoints/handlers, apimachinery serializer/json, as seen on the wire.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from podspace import errors
from podspace.kube import gojson, protobuf, resources, schema, strict, validation_warnings
from podspace.kube.json import JSON

JSON_TYPE = "application/json"
YAML_TYPE = "application/yaml"
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE)
_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
_OPTION_VERSIONS = {"Eviction": "policy/v1", "TokenRequest": "authentication.k8s.io/v1"}
_SUMMARY_BYTES = 30
MAX_DEPTH = 200  # deeper than any object
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATES = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A canonical object, and what to say in Warning headers."""

    obj: JSON
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class _Parsed:
    """``complaints`` are about the text itself (repeated YAML keys)."""

    api_version: str
    kind: str
    content: Callable[[], JSON]
    complaints: list[str]


def decode(
    body: bytes, content_type: str, resource: resources.Resource, *, field_validation: str = "", api_version: str = "", kind: str = ""
) -> Decoded:
    """One object of the resource, or of ``api_version``/``kind`` where a subresource takes another; both are filled in when absent.

    field_validation: "", "Ignore", "Warn" or "Strict"; "" warns.
    Raises: BadRequest; UnsupportedMediaType.
    """
    wanted_version, wanted = api_version or resource.api_version, kind or resource.kind
    model = schema.model_of(wanted, wanted_version.rpartition("/")[0])
    parsed = _parse(body, content_type, wanted, model)
    given, given_version = parsed.kind or wanted, parsed.api_version or wanted_version
    prefix = f'{given} in version "{given_version.rpartition("/")[2]}" cannot be handled as a {wanted}: '
    _check_kind(prefix, given, given_version, wanted, wanted_version)
    try:
        checked = strict.convert(parsed.content(), model)
    except errors.BadRequest as error:
        raise errors.BadRequest(prefix + str(error)) from error
    problems = [*parsed.complaints, *checked.problems]
    if problems and field_validation == "Strict":
        raise errors.BadRequest(f"{prefix}strict decoding error: {', '.join(problems)}")
    obj = {"kind": wanted, "apiVersion": wanted_version}
    obj.update((name, value) for name, value in checked.obj.items() if name not in obj)
    warnings = problems if field_validation in ("", "Warn") else []
    return Decoded(obj=obj, warnings=[*warnings, *(validation_warnings.before_defaults(obj) if wanted == "Pod" else ())])


def decode_options(body: bytes, content_type: str, kind: str) -> JSON:
    """DeleteOptions, Eviction, Binding, TokenRequest, ...: no body is {}, unknown fields are dropped, any version of the kind will do.

    Raises: BadRequest; UnsupportedMediaType.
    """
    if not body.strip():
        return {}
    known = resources.by_kind(kind)
    version = known.api_version if known else _OPTION_VERSIONS.get(kind, "v1")
    parsed = _parse(body, content_type, kind, kind)
    given = parsed.kind or kind
    prefix = f'{given} in version "{(parsed.api_version or version).rpartition("/")[2]}" cannot be handled as a {kind}: '
    if given != kind:
        _check_kind(prefix, given, parsed.api_version or version, kind, version)
    try:
        return {"kind": kind, "apiVersion": version, **_without_type(strict.convert(parsed.content(), kind).obj)}
    except errors.BadRequest as error:
        raise errors.BadRequest(prefix + str(error)) from error


def media_type(content_type: str) -> str:
    """``application/json; charset=utf-8`` -> ``application/json``; none counts as JSON. Raises: UnsupportedMediaType."""
    name = content_type.partition(";")[0].strip().lower() or JSON_TYPE
    if name not in ACCEPTED:
        accepted = ", ".join(ACCEPTED)
        raise errors.UnsupportedMediaType(f"the body of the request was in an unknown format - accepted media types include: {accepted}")
    return name


def parse_json(body: bytes | str) -> Any:
    """Any JSON text, repeated keys and the spelling of numbers kept for ``strict``. Raises: ValueError with Go's sentence."""
    if _too_deep(body):
        raise ValueError("exceeded max depth")
    try:
        return json.loads(_without_lone_surrogates(body), object_pairs_hook=_pairs, parse_float=strict.Number, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(gojson.complaint(body)) from error


def _too_deep(body: bytes | str) -> bool:
    """Whether brackets nest deeper than what comes after (copying, merging, comparing: all recursive) can bear."""
    text = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    return max(itertools.accumulate(1 if bracket in b"{[" else -1 for bracket in brackets), default=0) > MAX_DEPTH


def _without_lone_surrogates(body: bytes | str) -> str:
    """Half a pair of \\u escapes is no character: U+FFFD takes its place, as Go has it; nor are bytes that are no UTF-8."""
    text = body if isinstance(body, str) else body.decode(json.detect_encoding(body), "replace")
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _SURROGATES.sub(lambda found: found[0] if len(found[0]) != 6 else "\\ufffd", text)


def _parse(body: bytes, content_type: str, wanted: str, model: str) -> _Parsed:
    media = media_type(content_type)
    try:
        if media == PROTOBUF_TYPE:
            return _protobuf(body, model)
        return _tree(body, wanted, media)
    except ValueError as error:
        raise errors.BadRequest(f"the object provided is unrecognized (must be of type {wanted}): {error} ({_summary(body)})") from error


def _tree(body: bytes, wanted: str, media: str) -> _Parsed:
    complaints: list[str] = []
    if media == YAML_TYPE:
        from podspace.kube import goyaml

        value, repeated = goyaml.load(body)
        if repeated:
            complaints.append("yaml: unmarshal errors:\n  " + "\n  ".join(repeated))
    else:
        try:
            value = parse_json(body)
        except ValueError as error:
            raise ValueError(f"couldn't get version/kind; json parse error: {error}") from error
    value = {} if value is None else value
    api_version, kind = _type_of(value)
    return _Parsed(api_version, kind, lambda: value, complaints)


def _type_of(value: Any) -> tuple[str, str]:
    """Raises ValueError as Go's decoding into a struct of two strings does."""
    prefix = "couldn't get version/kind; json parse error: json: cannot unmarshal"
    if not isinstance(value, dict):
        shape = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        raise ValueError(f"{prefix} {strict.kind_of(value)} into Go value of type {shape}")
    for name in ("apiVersion", "kind"):
        if value.get(name) is not None and not isinstance(value[name], str):
            raise ValueError(f"{prefix} {strict.kind_of(value[name])} into Go struct field .{name} of type string")
    return value.get("apiVersion") or "", value.get("kind") or ""


def _protobuf(body: bytes, model: str) -> _Parsed:
    api_version, kind, raw = protobuf.decode(body)
    return _Parsed(api_version, kind, lambda: _protobuf_content(model, raw), [])


def _protobuf_content(model: str, raw: bytes) -> JSON:
    try:
        return protobuf.message(model, raw)
    except (ValueError, OverflowError, RecursionError) as error:  # broken bytes, a time beyond the calendar, endless nesting
        raise errors.BadRequest(str(error)) from error


def _check_kind(prefix: str, given: str, given_version: str, wanted: str, wanted_version: str) -> None:
    if (given, given_version) == (wanted, wanted_version):
        return
    known = resources.by_kind(given)
    if (known is not None and known.api_version == given_version) or _OPTION_VERSIONS.get(given) == given_version:
        source = f"{given_version.rpartition('/')[2]}.{given}"
        raise errors.BadRequest(f"{prefix}converting ({source}) to ({_internal(wanted, wanted_version)}): unknown conversion")
    raise errors.BadRequest(f'{prefix}no kind "{given}" is registered for version "{given_version}" in scheme "{_SCHEME}"')


def _internal(kind: str, api_version: str) -> str:
    """The Go package of the unversioned type: core.Pod, policy.Eviction."""
    group = api_version.rpartition("/")[0].partition(".")[0]
    return f"{group or ('v1' if kind == 'DeleteOptions' else 'core')}.{kind}"


def _without_type(obj: JSON) -> JSON:
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}


def _pairs(pairs: list[tuple[str, Any]]) -> JSON:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    repeated = strict.Repeated(result)
    repeated.pairs = pairs
    return repeated


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _summary(body: bytes) -> str:
    """The beginning of a body, as text if it looks like JSON, else in hex."""
    if not body:
        return "<empty>"
    head = body[:_SUMMARY_BYTES]
    text = head.decode("utf-8", "replace") if body[:1] == b"{" else head.hex()
    return f"{text} ..." if len(body) > _SUMMARY_BYTES else text

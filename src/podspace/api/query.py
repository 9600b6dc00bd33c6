"""Query parameters with the types and the complaints a Go server has.

Made by ``dispatch``, read by every handler. It must not know what a parameter means, except for those that all writes share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from podspace import errors

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False", "")
_MANAGER_BYTES = 128
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>[^0-9.]*)")
_UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")
_LONGEST_INTEGER = 20  # of 64 bits, with a sign


class Query:
    """The parameters of one request, decoded when first asked for."""

    __slots__ = ("_raw", "_values")

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._values: dict[str, list[str]] | None = None

    def all(self, name: str) -> list[str]:
        """Every value of a repeatable parameter (``command``, ``dryRun``)."""
        if not self._raw:
            return []
        if self._values is None:
            self._values = {}
            for key, value in parse_qsl(self._raw, keep_blank_values=True):
                self._values.setdefault(key, []).append(value)
        return self._values.get(name, [])

    def get(self, name: str) -> str:
        """The first value, "" if absent."""
        found = self.all(name)
        return found[0] if found else ""

    def flag(self, name: str) -> bool:
        """Go's leniency: a parameter that is there counts, unless it says false."""
        found = self.all(name)
        return bool(found) and (found[0] in _TRUE or found[0] not in _FALSE)

    def integer(self, name: str) -> int | None:
        """None if absent or empty.  Raises: BadRequest in the words of strconv."""
        text = self.get(name)
        if not text:
            return None
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        if len(text) > _LONGEST_INTEGER:
            raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
        return int(text)

    def check_timeout(self) -> None:
        """``timeout=32s``: how long the client will wait, which every client says. Nothing takes so long here.  Raises: BadRequest."""
        if why := _no_duration(self.get("timeout")):
            raise errors.BadRequest(f"invalid timeout specified in the request URL - time: {why}")


def _no_duration(text: str) -> str:
    """What Go's time.ParseDuration says of it; empty if it is one, or nothing at all."""
    shown, rest = json.dumps(text), text[1:] if text[:1] in ("+", "-") else text
    if text and not rest:
        return f"invalid duration {shown}"
    while rest and rest != "0":
        number = _NUMBER.match(rest)
        if number is None:
            return f"invalid duration {shown}"
        if not number["unit"]:
            return f"missing unit in duration {shown}"
        if number["unit"] not in _UNITS:
            return f"unknown unit {json.dumps(number['unit'])} in duration {shown}"
        rest = rest[number.end() :]
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """What create, update and patch share.  ``field_validation``: Strict, Warn or Ignore."""

    dry_run: bool = False
    field_validation: str = "Warn"


def write_options(query: Query, kind: str, *, applies: bool = False) -> WriteOptions:
    """Check dryRun, fieldManager, fieldValidation and force. ``kind``: CreateOptions, UpdateOptions, PatchOptions.  Raises: Invalid."""
    dry_run = query.all("dryRun")
    validation = query.get("fieldValidation")
    causes = dry_run_causes(dry_run)
    causes += _manager_causes(query.get("fieldManager"), required=applies)
    if kind == "PatchOptions" and not applies and query.all("force"):
        causes.append(
            errors.Cause(reason="FieldValueForbidden", message="Forbidden: may not be specified for non-apply patch", field="force")
        )
    if validation not in ("", "Strict", "Warn", "Ignore"):
        message = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        causes.append(errors.Cause(reason="FieldValueNotSupported", message=message, field="fieldValidation"))
    if causes:
        raise errors.Invalid(kind, "", causes, group="meta.k8s.io")
    return WriteOptions(dry_run=bool(dry_run), field_validation=validation or "Warn")


def _manager_causes(manager: str, *, required: bool) -> list[errors.Cause]:
    field = "fieldManager"
    if required and not manager:
        return [errors.Cause(reason="FieldValueRequired", message="Required value: is required for apply patch", field=field)]
    if len(manager.encode()) > _MANAGER_BYTES:
        return [errors.Cause(reason="FieldValueTooLong", message=f"Too long: may not be more than {_MANAGER_BYTES} bytes", field=field)]
    if not manager.isprintable():
        return [
            errors.Cause(
                reason="FieldValueInvalid",
                message=f"Invalid value: {json.dumps(manager)}: should only contain printable characters",
                field=field,
            )
        ]
    return []


def dry_run_causes(values: Sequence[str]) -> list[errors.Cause]:
    """What is wrong with a dryRun list: only "All" is known."""
    if all(value == "All" for value in values):
        return []
    listed = " ".join(f'"{value}"' for value in values)
    return [
        errors.Cause(reason="FieldValueNotSupported", message=f'Unsupported value: [{listed}]: supported values: "All"', field="dryRun")
    ]

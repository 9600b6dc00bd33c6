"""The list of what is wrong with an object, in the API server's words.

Used by every ``validation_*`` module; knows how causes read, and no rule. Source: apimachinery util/validation/field.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from podspace import errors


class Report:
    """Collects causes in the order they are found."""

    __slots__ = ("causes",)

    def __init__(self) -> None:
        self.causes: list[errors.Cause] = []

    def required(self, field: str, detail: str = "") -> None:
        self._add("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")

    def invalid(self, field: str, value: Any, detail: str) -> None:
        """``value`` is shown as JSON, which for strings is what Go's %q prints."""
        self._add("FieldValueInvalid", field, f"Invalid value: {show(value)}: {detail}")

    def invalids(self, field: str, value: Any, details: Iterable[str]) -> None:
        """One cause per broken rule of ``names``."""
        for detail in details:
            self.invalid(field, value, detail)

    def unsupported(self, field: str, value: Any, supported: Iterable[str]) -> None:
        listed = ", ".join(show(one) for one in supported)
        self._add("FieldValueNotSupported", field, f"Unsupported value: {show(value)}: supported values: {listed}")

    def duplicate(self, field: str, value: Any) -> None:
        self._add("FieldValueDuplicate", field, f"Duplicate value: {show(value)}")

    def forbidden(self, field: str, detail: str) -> None:
        self._add("FieldValueForbidden", field, f"Forbidden: {detail}")

    def not_found(self, field: str, value: Any, detail: str = "") -> None:
        self._add("FieldValueNotFound", field, f"Not found: {show(value)}: {detail}" if detail else f"Not found: {show(value)}")

    def too_long(self, field: str, limit_bytes: int) -> None:
        self._add("FieldValueTooLong", field, f"Too long: may not be more than {limit_bytes} bytes")

    def internal(self, field: str, detail: str) -> None:
        """The server could not tell."""
        self._add("InternalError", field, f"Internal error: {detail}")

    def too_many(self, field: str, count: int, limit: int) -> None:
        self._add("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} items")

    def supported(self, field: str, value: Any, supported: Sequence[str]) -> None:
        """Unsupported if none of them, also if empty."""
        if value not in supported:
            self.unsupported(field, value, supported)

    def one_of(self, field: str, value: Any, supported: Sequence[str]) -> None:
        """Required if empty, unsupported if none of them."""
        if not value:
            self.required(field)
        elif value not in supported:
            self.unsupported(field, value, supported)

    def at_least_zero(self, field: str, value: int | None) -> None:
        if value is not None and value < 0:
            self.invalid(field, value, "must be greater than or equal to 0")

    def within(self, field: str, value: int | None, low: int, high: int) -> None:
        if value is not None and not low <= value <= high:
            self.invalid(field, value, f"must be between {low} and {high}, inclusive")

    def _add(self, reason: str, field: str, message: str) -> None:
        self.causes.append(errors.Cause(reason=reason, message=message, field=field))


def show(value: Any) -> str:
    """``"text"``, ``5``, ``null``, ``{"Type":"x"}``."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def difference(before: Any, after: Any) -> str:
    """Changed lines of the JSON with three lines around them."""
    old, new = (json.dumps(one, indent=1, ensure_ascii=False).splitlines() for one in (before, after))
    lines = list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]
    return "".join(f"{line}\n" for line in lines)

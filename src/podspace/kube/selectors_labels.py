"""The language of label selectors: a lexer, a parser of one token look-ahead, and what each requirement asks.

Called by ``selectors`` only. Error texts are the API server's, down to its choice of what it expected.
Source: k8s.io/apimachinery labels, observed answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from podspace import errors
from podspace.kube import names

Operator = Literal["in", "notin", "=", "==", "!=", "gt", "lt", "exists", "!"]
_OPERATORS: Mapping[str, Operator] = {"in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}
_EXPECTED_OPERATORS = ", ".join(_OPERATORS.values())
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^=!(),<>\s]+|$)")
_SYMBOLS = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">", ""})
_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """``!=`` and ``notin`` hold for an object without the label."""
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value in self.values
            case "notin" | "!=":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "gt" | "lt":
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        if value is None or not _INTEGER.fullmatch(value):
            return False
        limit = int(next(iter(self.values)))
        return int(value) > limit if self.operator == "gt" else int(value) < limit


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. Falsy when there are none."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


class _Token(NamedTuple):
    """``text`` is a symbol, a word, or "" at the end."""

    text: str

    @property
    def is_word(self) -> bool:
        return self.text not in _SYMBOLS


class _Unexpected(Exception):
    """What was found instead of what."""


def parse(text: str) -> Selector:
    """Raises: BadRequest."""
    try:
        return Selector(tuple(_Parser(text).requirements()))
    except _Unexpected as error:
        raise errors.BadRequest(str(error)) from None


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [_Token(word) for word in _TOKEN.findall(text)]
        self._position = 0

    def _peek(self) -> _Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _Token("")

    def _next(self) -> _Token:
        token = self._peek()
        self._position += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._peek().text:
            if not (self._peek().is_word or self._peek().text == "!"):
                raise _Unexpected(f"found '{self._peek().text}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except _Unexpected as error:
                raise _Unexpected(f"unable to parse requirement: {error}") from None
            separator = self._next().text
            if not separator:
                break
            if separator != ",":
                raise _Unexpected(f"found '{separator}', expected: ',' or 'end of string'")
            if not (self._peek().is_word or self._peek().text == "!"):
                raise _Unexpected(f"found '{self._peek().text}', expected: identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        token, absent = self._next(), False
        if token.text == "!":
            token, absent = self._next(), True
        if not token.is_word:
            raise _Unexpected(f"found '{token.text}', expected: identifier")
        if wrong := names.qualified(token.text):
            raise _Unexpected(f"<nil>: Invalid value: {json.dumps(token.text, ensure_ascii=False)}: {'; '.join(wrong)}")
        if absent or self._peek().text in ("", ","):
            return Requirement(key=token.text, operator="!" if absent else "exists")
        operator = self._operator()
        values = self._values() if operator in ("in", "notin") else self._value()
        return _checked(token.text, operator, values)

    def _operator(self) -> Operator:
        found = self._next().text
        if found not in _OPERATORS:
            raise _Unexpected(f"found '{found}', expected: {_EXPECTED_OPERATORS}" if found else f"expected: {_EXPECTED_OPERATORS}")
        return _OPERATORS[found]

    def _value(self) -> list[str]:
        if self._peek().text in ("", ","):
            return [""]
        token = self._next()
        if not token.is_word:
            raise _Unexpected(f"found '{token.text}', expected: identifier")
        return [token.text]

    def _values(self) -> list[str]:
        """``(a,b)``; an empty place between commas or parentheses counts as the empty value, ``()`` as none."""
        if (found := self._next().text) != "(":
            raise _Unexpected(f"found '{found}' expected: '('")
        if self._peek().text == ")":
            self._next()
            return []
        if not (self._peek().is_word or self._peek().text == ","):
            raise _Unexpected(f"found '{self._peek().text}', expected: ',', ')' or identifier")
        values: list[str] = []
        while True:
            values.append(self._next().text if self._peek().is_word else "")
            token = self._next()
            if token.text == ")":
                return sorted(set(values))
            if token.text != ",":
                raise _Unexpected(f"found '{token.text}', expected: ',' or ')'")
            if not (self._peek().is_word or self._peek().text in (",", ")")):
                raise _Unexpected(f"found '{self._peek().text}', expected: ',', or identifier")


def _checked(key: str, operator: Operator, values: list[str]) -> Requirement:
    wrong: list[str] = []
    if operator in ("in", "notin") and not values:
        wrong.append("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
    for index, value in enumerate(values):
        quoted = json.dumps(value, ensure_ascii=False)
        if operator in ("gt", "lt") and not _INTEGER.fullmatch(value):
            wrong.append(f"values[{index}]: Invalid value: {quoted}: for 'Gt', 'Lt' operators, the value must be an integer")
        if problems := names.label_value(value):
            wrong.append(f"values[{index}][{key}]: Invalid value: {quoted}: {'; '.join(problems)}")
    if wrong:
        raise _Unexpected(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return Requirement(key=key, operator=operator, values=frozenset(values))

"""What is wrong with a text that is not JSON, in the words of Go's encoding/json.

Called by ``decode`` and ``patch`` only after Python's parser has refused the text; it reads the text again, slowly, to name the spot.
"""

from __future__ import annotations

import re

_SPACE = " \t\r\n"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"', re.ASCII)
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_MAX_DEPTH = 200  # deeper than any object; two frames a level, of the thousand Python has


class _Stop(Exception):
    """The sentence."""


def complaint(text: bytes | str) -> str:
    """The first thing Go's scanner does not accept; "unexpected end of JSON input" if that is the end."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    try:
        place = _skip(decoded, _value(decoded, _skip(decoded, 0), 0))
        if place < len(decoded):
            _refuse(decoded, place, "after top-level value")
    except _Stop as stop:
        return str(stop)
    return "exceeded max depth"


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _refuse(text: str, place: int, context: str) -> None:
    if place >= len(text):
        raise _Stop("unexpected end of JSON input")
    letter = text[place]
    quoted = {"'": "'\\''", '"': "'\"'"}.get(letter) or f"'{letter if letter.isprintable() else repr(letter)[1:-1]}'"
    raise _Stop(f"invalid character {quoted} {context}")


def _value(text: str, place: int, depth: int) -> int:
    letter = text[place : place + 1]
    if depth > _MAX_DEPTH:
        raise _Stop("exceeded max depth")
    if letter == "{":
        return _members(text, place + 1, depth)
    if letter == "[":
        return _elements(text, place + 1, depth)
    if letter == '"':
        return _string(text, place)
    if letter in _LITERALS and letter:
        return _literal(text, place, _LITERALS[letter])
    if letter and letter in "-0123456789":
        return _number(text, place)
    _refuse(text, place, "looking for beginning of value")
    return place


def _members(text: str, place: int, depth: int) -> int:
    place = _skip(text, place)
    if text[place : place + 1] == "}":
        return place + 1
    while True:
        if text[place : place + 1] != '"':
            _refuse(text, place, "looking for beginning of object key string")
        place = _skip(text, _string(text, place))
        if text[place : place + 1] != ":":
            _refuse(text, place, "after object key")
        place = _skip(text, _value(text, _skip(text, place + 1), depth + 1))
        if text[place : place + 1] == "}":
            return place + 1
        if text[place : place + 1] != ",":
            _refuse(text, place, "after object key:value pair")
        place = _skip(text, place + 1)


def _elements(text: str, place: int, depth: int) -> int:
    place = _skip(text, place)
    if text[place : place + 1] == "]":
        return place + 1
    while True:
        place = _skip(text, _value(text, place, depth + 1))
        if text[place : place + 1] == "]":
            return place + 1
        if text[place : place + 1] != ",":
            _refuse(text, place, "after array element")
        place = _skip(text, place + 1)


def _string(text: str, place: int) -> int:
    found = _STRING.match(text, place)
    if found:
        return found.end()
    for spot in range(place + 1, len(text)):
        if text[spot] < " ":
            _refuse(text, spot, "in string literal")
        if text[spot] == "\\" and not re.match(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|u?[0-9a-fA-F]{0,3}$)', text[spot : spot + 6]):
            _refuse(text, spot + 1, "in string escape code")
    raise _Stop("unexpected end of JSON input")


def _literal(text: str, place: int, word: str) -> int:
    for offset, expected in enumerate(word):
        if text[place + offset : place + offset + 1] != expected:
            _refuse(text, place + offset, f"in literal {word} (expecting '{expected}')")
    return place + len(word)


def _number(text: str, place: int) -> int:
    found = _NUMBER.match(text, place)
    if found is None:
        _refuse(text, place + 1, "in numeric literal")
        return place
    following = text[found.end() : found.end() + 1]
    if following == ".":
        _refuse(text, found.end() + 1, "after decimal point in numeric literal")
    if following and following in "eE":
        _refuse(text, found.end() + 1, "in exponent of numeric literal")
    return found.end()

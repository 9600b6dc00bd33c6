"""Files of variables (KEP-3721): a container's ``fileKeyRef`` names one key of one file that an earlier container wrote to a volume.

Pure. The form is a strict part of the shell's: ``NAME='value'``, where nothing in the quotes is special and a value may span lines;
blank lines and comments are passed over. Source: kubelet pkg/kubelet/util/env.
"""

from __future__ import annotations

from collections.abc import Iterator

_BLANKS = " \t"


class BadLine(ValueError):
    """The file is not of that form; the message names the line."""


def value(text: str, key: str) -> str:
    """The value of a key; "" if the file does not have it. Only what is before the key must be well-formed.  Raises: BadLine."""
    return next((found for name, found in _assignments(text) if name == key), "")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    for number, full in lines:
        line = full.lstrip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        name, separator, rest = line.partition("=")
        if not separator:
            raise BadLine(f"invalid environment variable format at line {number}: missing '='")
        if not name:
            raise BadLine(f"invalid environment variable format at line {number}: empty variable name")
        if name != name.rstrip(_BLANKS):
            raise BadLine(f"invalid environment variable format at line {number}: whitespace before '=' is not allowed")
        yield name, _value(number, rest, lines)


def _value(number: int, rest: str, lines: Iterator[tuple[int, str]]) -> str:
    if rest.startswith(tuple(_BLANKS)):
        return ""  # as a shell reads it: an empty value, then something else
    if not rest.startswith("'"):
        raise BadLine(f"invalid environment variable format at line {number}: value must be enclosed in single quotes")
    parts, rest, last = [], rest[1:], number
    while "'" not in rest:
        parts.append(rest)
        last, rest = next(lines, (0, ""))
        if not last:
            raise BadLine(f"invalid environment variable format starting at line {number}: unclosed single quote")
    end, _, after = rest.partition("'")
    if after.lstrip(_BLANKS) and not after.lstrip(_BLANKS).startswith("#"):
        raise BadLine(f"invalid environment variable format at line {last}: unexpected content after closing quote")
    return "\n".join([*parts, end])

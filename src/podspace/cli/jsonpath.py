r"""The part of kubectl's JSONPath that people use: fields, indices, slices, ``*``, ``..``, filters, ``{range}``, quoted text.

    {.items[*].metadata.name}
    {range .items[?(@.status.phase=="Running")]}{.metadata.name}{"\n"}{end}
    {.metadata.annotations.example\.com/name}

Called by ``output`` and by ``get --sort-by``. Pure. Source: kubernetes.io "JSONPath Support".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from podspace.cli import failure

Step = Callable[[Any], Iterator[Any]]
_FIELD = re.compile(r"(?:\\.|[^.\[\]{}\\'\"\s])+")
_COMPARISON = re.compile(r"^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$")
_INDEX = re.compile(r"^-?\d+$")
_SLICE = re.compile(r"^(-?\d*):(-?\d*)(?::(\d+))?$")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Path:
    """A chain of steps: every step makes of each value none, one or several."""

    steps: tuple[Step, ...]

    def find(self, value: Any) -> list[Any]:
        values = [value]
        for step in self.steps:
            values = [found for each in values for found in step(each)]
        return values


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. ``parts`` are literal texts, paths, or (path, parts) for a range."""

    parts: tuple[str | Path | tuple[Path, tuple[Any, ...]], ...]

    def find(self, value: Any) -> list[Any]:
        """What the paths give, without text."""
        return [found for part in self.parts if isinstance(part, Path) for found in part.find(value)]

    def render(self, value: Any) -> str:
        return "".join(_render(self.parts, value))


def compile(template: str) -> Template:
    """Raises: failure.Failure pointing at what is not understood."""
    blocks = list(_blocks(template))
    parts, rest = _parse(blocks, 0, nested=False)
    if rest != len(blocks):
        raise failure.Failure(f"error parsing jsonpath {template}, {{end}} without {{range}}")
    return Template(parts)


def relaxed(path: str) -> str:
    """``metadata.name``, ``.metadata.name`` and ``{.metadata.name}`` are the same to custom-columns and --sort-by."""
    inner = path.strip().removeprefix("{").removesuffix("}")
    return "{" + (inner if inner.startswith((".", "[", "$")) else "." + inner) + "}"


def text(value: Any) -> str:
    """A value as kubectl prints it: text bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _render(parts: Sequence[Any], value: Any) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Path):
            yield " ".join(text(found) for found in part.find(value))
        else:
            path, inner = part
            for each in path.find(value):
                yield from _render(inner, each)


def _blocks(template: str) -> Iterator[tuple[bool, str]]:
    """(is in braces, text)."""
    position = 0
    while position < len(template):
        start = template.find("{", position)
        if start < 0:
            start = len(template)
        if start > position:
            yield False, template[position:start]
        if start == len(template):
            return
        end = _closing(template, start)
        yield True, template[start + 1 : end].strip()
        position = end + 1


def _closing(template: str, start: int) -> int:
    quote = ""
    for position in range(start + 1, len(template)):
        character = template[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "}":
            return position
    raise failure.Failure(f"error parsing jsonpath {template}, unclosed action")


def _parse(blocks: Sequence[tuple[bool, str]], position: int, *, nested: bool) -> tuple[tuple[Any, ...], int]:
    parts: list[Any] = []
    while position < len(blocks):
        action, content = blocks[position]
        position += 1
        if not action:
            parts.append(content)
        elif content == "end":
            if not nested:
                return tuple(parts), position - 1
            return tuple(parts), position
        elif content.startswith(("range ", "range\t")):
            inner, position = _parse(blocks, position, nested=True)
            parts.append((_path(content[5:].strip()), inner))
        else:
            parts.extend(_actions(content))
    if nested:
        raise failure.Failure("error parsing jsonpath, not all {range} are closed with {end}")
    return tuple(parts), position


def _actions(content: str) -> list[str | Path]:
    """What stands in one pair of braces: usually one path or one quoted text."""
    if content[:1] in "'\"" and content[-1:] == content[:1]:
        return [re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), content[1:-1])]
    return [_path(content)]


def _path(source: str) -> Path:
    steps: list[Step] = []
    position = 1 if source[:1] in ("$", "@") else 0
    while position < len(source):
        if source.startswith("..", position):
            steps.append(_descend)
            position += 1 if source[position + 2 : position + 3] != "[" else 2
        elif source[position] == ".":
            position += 1
            match = _FIELD.match(source, position)
            if match is None:
                if position == len(source):
                    break
                if source[position] == "[":
                    continue
                raise failure.Failure(f"error parsing jsonpath {source}, unexpected character at {source[position:]!r}")
            steps.append(_field(re.sub(r"\\(.)", r"\1", match[0])))
            position = match.end()
        elif source[position] == "[":
            end = _bracket(source, position)
            steps.append(_subscript(source[position + 1 : end].strip()))
            position = end + 1
        else:
            raise failure.Failure(f"error parsing jsonpath {source}, unrecognized {source[position:]!r}; a path starts with a dot")
    return Path(tuple(steps))


def _bracket(source: str, start: int) -> int:
    depth, quote = 0, ""
    for position in range(start, len(source)):
        character = source[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[(":
            depth += 1
        elif character in "])":
            depth -= 1
            if depth == 0:
                return position
    raise failure.Failure(f"error parsing jsonpath {source}, unterminated array")


def _subscript(inside: str) -> Step:
    if inside == "*":
        return _every
    if inside.startswith("?(") and inside.endswith(")"):
        return _filter(inside[2:-1].strip())
    if inside[:1] in "'\"" and inside:
        return _field(inside[1:-1])
    if _INDEX.match(inside):
        return _at(int(inside))
    match = _SLICE.match(inside)
    if match:
        start, stop, step = (int(part) if part else None for part in match.groups())
        return lambda value: iter(value[start:stop:step] if isinstance(value, list) else ())
    if "," in inside:
        members = [_subscript(member.strip()) for member in inside.split(",")]
        return lambda value: (found for member in members for found in member(value))
    raise failure.Failure(f"error parsing jsonpath, invalid array index {inside!r}")


def _field(name: str) -> Step:
    if name == "*":
        return _every

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _at(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _descend(value: Any) -> Iterator[Any]:
    yield value
    for member in _every(value):
        yield from _descend(member)


def _filter(expression: str) -> Step:
    match = _COMPARISON.match(expression)
    if match is None:
        wanted = _path(expression)
        return lambda value: (each for each in _every(value) if wanted.find(each))
    left, operator, right = _operand(match[1]), match[2], _operand(match[3])

    def step(value: Any) -> Iterator[Any]:
        for each in _every(value):
            found, against = left(each), right(each)
            if found and against and _compare(found[0], operator, against[0]):
                yield each

    return step


def _operand(source: str) -> Callable[[Any], list[Any]]:
    source = source.strip()
    if source.startswith(("@", "$")):
        return _path(source).find
    literal: Any = source[1:-1] if source[:1] in "'\"" and source else _literal(source)
    return lambda _: [literal]


def _literal(source: str) -> Any:
    try:
        return json.loads(source)
    except ValueError:
        return source


def _compare(left: Any, operator: str, right: Any) -> bool:
    if operator in ("==", "!="):
        return (left == right) is (operator == "==")
    try:
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator])
    except TypeError:
        return False

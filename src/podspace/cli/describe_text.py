"""The text ``describe`` prints: levels of indentation, values in line below each other. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from podspace.cli import tabs

NONE = "<none>"


class Lines:
    """Collects lines; ``\\t`` in them are tab stops."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, level: int, line: str) -> None:
        """A line, two spaces for each level."""
        self._lines.append("  " * level + line)

    def field(self, level: int, name: str, value: object) -> None:
        """``Name:\\tvalue``; of a value of several lines the others are in line with the first."""
        first, *rest = str(value).split("\n")
        self.add(level, f"{name}:\t{first}")
        for line in rest:
            self.add(level, f"\t{line}")

    def pairs(self, level: int, name: str, values: Mapping[str, str] | None, *, sign: str = "=") -> None:
        """Labels: one a line, <none> for none."""
        self.field(level, name, "\n".join(f"{key}{sign}{value}" for key, value in sorted((values or {}).items())) or NONE)

    def text(self) -> str:
        """Everything, aligned."""
        return "".join(line + "\n" for line in tabs.align([line.split("\t") for line in self._lines]))

"""Elastic tab stops, as Go's text/tabwriter has them: what kubectl's tables and descriptions are aligned with.

A cell ends with a tab; the last cell of a line has none and is in no column. A column is a block of consecutive lines that have
that cell, and is as wide as the widest of them. Pure. Source: pkg.go.dev/text/tabwriter.
"""

from __future__ import annotations

from collections.abc import Sequence

_CONTROL = str.maketrans({"\x1b": "^[", "\r": "\\r"})


def align(lines: Sequence[Sequence[str]], *, padding: int = 2, minimum: int = 0) -> list[str]:
    """Lines of cells to lines of text."""
    lines = [[escaped(cell) for cell in cells] for cells in lines]
    widths = [[0] * (len(cells) - 1) for cells in lines]
    for column in range(max((len(cells) - 1 for cells in lines), default=0)):
        block: list[int] = []
        for number, cells in enumerate([*lines, []]):
            if len(cells) - 1 > column:
                block.append(number)
                continue
            width = max((len(lines[member][column]) for member in block), default=0) + padding
            for member in block:
                widths[member][column] = max(width, minimum)
            block = []
    return [
        "".join(cell.ljust(width) for cell, width in zip(cells, [*row, 0], strict=True)) for cells, row in zip(lines, widths, strict=True)
    ]


def columns(rows: Sequence[Sequence[str]], *, widths: list[int] | None = None) -> list[str]:
    """A table as ``kubectl get`` prints it: three spaces between columns. ``widths`` remembers, so that later rows stay in line."""
    rows = [[_first_line(cell) for cell in row] for row in rows]
    remembered = widths if widths is not None else []
    for row in rows:
        remembered.extend(0 for _ in range(len(row) - len(remembered)))
        for number, cell in enumerate(row):
            remembered[number] = max(remembered[number], len(cell) + 3, 6)
    return ["".join([cell.ljust(width) for cell, width in zip(row[:-1], remembered, strict=False)] + list(row[-1:])) for row in rows]


def escaped(text: str) -> str:
    """What containers and registries said must not steer the user's terminal. Source: kubectl, printers.WriteEscaped."""
    return text.translate(_CONTROL)


def _first_line(cell: str) -> str:
    """A row is one line: of several the first, and that there is more."""
    for place, letter in enumerate(cell):
        if letter in "\f\n\r":
            return escaped(cell[:place]) + "..."
    return escaped(cell)

"""What Debian 12's Python 3.11.2 does differently from the Python a developer is likely to have."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCES = sorted((Path(__file__).resolve().parents[2] / "src" / "podspace").rglob("*.py"))


def _raises_in_except_star(tree: ast.AST) -> list[int]:
    groups = [node for node in ast.walk(tree) if isinstance(node, ast.TryStar)]
    return [inner.lineno for group in groups for handler in group.handlers for inner in ast.walk(handler) if isinstance(inner, ast.Raise)]


def test_nothing_is_raised_within_except_star() -> None:
    """Before 3.11.4 it arrives as an ExceptionGroup, and nobody who waits for the exception itself catches it."""
    found = [f"{path.name}:{line}" for path in SOURCES for line in _raises_in_except_star(ast.parse(path.read_text()))]
    assert not found


def test_a_raise_within_except_star_would_be_found() -> None:
    source = "try:\n    pass\nexcept* OSError:\n    raise ValueError\n"
    assert _raises_in_except_star(ast.parse(source)) == [4]

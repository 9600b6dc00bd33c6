"""What a real API server was seen to do: the recorded exchanges, read from beside the repository when they are there.

Tests that need them are skipped with the reason where they are absent; with ``PODSPACE_REQUIRE=all`` that is a failure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FACTS = Path(__file__).resolve().parents[3].parent / "shared" / "facts"


def needs_facts() -> None:
    """Skip the test, or the module that calls it at its top, if there are no recordings."""
    if FACTS.is_dir():
        return
    reason = f"no recorded API exchanges in {FACTS}"
    if os.environ.get("PODSPACE_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def sample(name: str) -> Any:
    """The decoded file ``samples/<name>.json``."""
    return json.loads((FACTS / "samples" / f"{name}.json").read_text(encoding="utf-8"))


def sample_names(pattern: str) -> list[str]:
    return sorted(path.stem for path in (FACTS / "samples").glob(f"{pattern}.json"))


def exchanges(name: str) -> Iterator[Any]:
    """Every ``{request, response}`` of a sample, at whatever depth the file keeps them."""
    yield from _exchanges(sample(name))


def _exchanges(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if isinstance(node.get("request"), dict) and "response" in node:
            yield node
        else:
            for member in node.values():
                yield from _exchanges(member)
    elif isinstance(node, list):
        for item in node:
            yield from _exchanges(item)

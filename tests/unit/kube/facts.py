"""The folder of facts about a real API server, which is not part of the repository: found beside it, or the tests that need it skip.

With ``PODSPACE_REQUIRE=all`` a missing folder is a failure.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared"
FACTS = SHARED / "facts"
EXAMPLES = SHARED / "examples"


def present() -> bool:
    """Whether the facts are there; fails where they have to be."""
    if FACTS.is_dir():
        return True
    if os.environ.get("PODSPACE_REQUIRE") == "all":
        pytest.fail(f"{FACTS} is missing")
    return False


needs = pytest.mark.skipif(
    not FACTS.is_dir() and os.environ.get("PODSPACE_REQUIRE") != "all", reason="no ../shared/facts beside the repository"
)

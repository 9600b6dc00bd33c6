"""One busybox root for all scenes of a test process; a short root for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace.runtime import layout
from tests.integration.runtime import rig


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rig.make_layer(tmp_path_factory.mktemp("image"))


@pytest.fixture
def root(layer: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="podspace-"))
    (folder / "layer").symlink_to(layer)
    yield folder
    layout.remove_tree(folder)

"""One server for all tests of this folder: their Pods have different names and run side by side."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import server


@pytest.fixture(scope="package")
def node(registries_conf: Path) -> Iterator[server.Server]:
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    try:
        with server.running(folder, registries_conf=registries_conf) as running:
            yield running
            assert not [line for line in running.log if "Traceback" in line], "".join(running.log[-80:])
    finally:
        shutil.rmtree(folder)

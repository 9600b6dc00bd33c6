"""A server with a CRI socket for each module, and its client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import cri


@pytest.fixture(scope="module")
def machine(module_root: Path, registries_conf: Path) -> Iterator[cri.Machine]:
    with cri.running(module_root, registries_conf) as running:
        yield running


@pytest.fixture
def client(machine: cri.Machine) -> cri.Client:
    return machine.client

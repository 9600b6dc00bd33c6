"""Real servers for real kubectl: one per test module, each with a root, port and Pods of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import kubectls, server
from tools import registry


@pytest.fixture(scope="session")
def registries_conf() -> Iterator[Path]:
    """A loopback registry that stands in for docker.io, one per test process."""
    folder = Path(tempfile.mkdtemp(prefix="podspace-registry-"))
    try:
        with registry.running(folder) as mirror:
            yield mirror.registries_conf
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path: unix socket names are limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    folder.chmod(0o711)  # as /var/lib is: root of a user namespace must get there
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def module_root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    folder.chmod(0o711)  # as /var/lib is: root of a user namespace must get there
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def podspace(module_root: Path, registries_conf: Path) -> Iterator[server.Server]:
    """A server for a module whose tests use Pods of different names."""
    with server.running(module_root, registries_conf=registries_conf) as running:
        yield running


@pytest.fixture
def own_server(root: Path, registries_conf: Path) -> Iterator[server.Server]:
    """A server for one test that stops or kills it."""
    with server.running(root, registries_conf=registries_conf) as running:
        yield running


@pytest.fixture(scope="session")
def old_kubectl() -> Path:
    """kubectl 1.20: SPDY only."""
    return kubectls.old()

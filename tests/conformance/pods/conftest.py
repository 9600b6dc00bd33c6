"""One server for all tests of this folder. Pods of a module have different names and run side by side; they go with their module."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pods, server

_RUNNING: list[server.Server] = []
SMALL_LOGS = ("--container-log-max-size=20Ki", "--container-log-max-files=6", "--container-log-monitor-interval=100ms")


@pytest.fixture(autouse=True, scope="module")
def _none_of_another_module() -> Iterator[None]:
    yield
    for running in _RUNNING:
        running.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", timeout=120)
        folder = running.paths.pods
        pods.eventually(functools.partial(os.listdir, folder), lambda left: not left, seconds=120)  # they go after their objects


@pytest.fixture(scope="package")
def node(registries_conf: Path) -> Iterator[server.Server]:
    yield from _served(registries_conf)


@pytest.fixture(scope="package")
def tuned(registries_conf: Path) -> Iterator[server.Server]:
    """Another, with what a kubelet's flags can change set low."""
    yield from _served(registries_conf, "--pod-max-pids=40", "--runtime-handler=other=runc", *SMALL_LOGS)


def _served(registries_conf: Path, *flags: str) -> Iterator[server.Server]:
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    folder.chmod(0o711)  # as /var/lib is: root of a user namespace must get there
    try:
        with server.running(folder, registries_conf=registries_conf, flags=flags) as running:
            _RUNNING.append(running)
            yield running
            _RUNNING.remove(running)
            assert not [line for line in running.log if "Traceback" in line], "".join(running.log[-80:])
    finally:
        shutil.rmtree(folder)

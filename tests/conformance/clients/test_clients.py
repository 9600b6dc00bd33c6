"""Well-known clients that are not kubectl work unchanged. Each has an interpreter of its own: what they leave open is theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.root
HERE = Path(__file__).parent


@pytest.mark.parametrize("script", ["with_kubernetes.py", "with_kr8s.py"])
def test_what_the_clients_own_examples_do(podspace: Server, script: str) -> None:
    done = podspace.run(sys.executable, str(HERE / script), timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("everything worked\n")

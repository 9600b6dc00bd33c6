"""Two releases of real kubectl against one server per module: today's (WebSocket, OpenAPI v3) and 1.20 (SPDY, OpenAPI v2)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import Server

_DELETED_FROM = re.compile(r" deleted from \S+ namespace$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One release. Every call is bounded in time."""

    program: str
    environment: Mapping[str, str]
    is_old: bool

    def __call__(self, *argv: str, stdin: str = "", status: int = 0) -> str:
        """Standard output of a command that must end with ``status``; with standard error behind it if that is not 0.

        Newer releases say of which namespace something was deleted, older ones do not: that is left out.
        """
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == status, f"kubectl {' '.join(argv)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return _DELETED_FROM.sub(" deleted", done.stdout) if status == 0 else done.stdout + done.stderr

    def run(self, *argv: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        everything = {**self.environment, **environment}
        return subprocess.run([self.program, *argv], input=stdin, capture_output=True, text=True, timeout=240, env=everything)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Run it beside the test; both outputs in one, standard input empty."""
        return subprocess.Popen(
            [self.program, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )


@pytest.fixture(params=["today", "1.20"])
def kubectl(request: pytest.FixtureRequest, podspace: Server, old_kubectl: Path) -> Kubectl:
    is_old = request.param == "1.20"
    return Kubectl(program=str(old_kubectl) if is_old else "kubectl", environment=podspace.environment, is_old=is_old)

"""The kubectl releases tests run with: the installed one (WebSocket first), and Debian's 1.20, which speaks SPDY only."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kubectl-1.20"


def old() -> Path:
    """Path of kubectl 1.20, unpacked from Debian's package beside the installed one. Safe for several test processes at once."""
    program = CACHE / "usr" / "bin" / "kubectl"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            subprocess.run(["apt-get", "download", "-q", "kubernetes-client"], cwd=CACHE, check=True, capture_output=True)
            package = next(CACHE.glob("kubernetes-client_*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(package), str(CACHE)], check=True)
            package.unlink()
    return program

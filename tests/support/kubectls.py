"""The kubectl releases tests run with: the installed one (WebSocket first), and Debian 12's 1.20, which speaks SPDY only.

Where apt has no release that old (Ubuntu, later Debians) the installed one is told to speak SPDY, as kubectl up to 1.30 does.
"""

from __future__ import annotations

import fcntl
import json
import shlex
import shutil
import subprocess
from pathlib import Path

from tools import image_debian

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kubectl-1.20"
PROGRAM = CACHE / "usr" / "bin" / "kubectl"
PACKAGE = "kubernetes-client"
LAST_WITHOUT_WEBSOCKETS = 30


def old() -> Path:
    """Path of a kubectl that speaks SPDY, beside the installed one. Safe for several test processes at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not PROGRAM.exists():
            _unpack()
        return PROGRAM


def _unpack() -> None:
    known = image_debian.versions([PACKAGE])
    if known:
        debs = image_debian.fetch(known, CACHE)
        image_debian.unpack(debs, CACHE)
        for deb in debs:
            deb.unlink()
    if not known or minor(PROGRAM) > LAST_WITHOUT_WEBSOCKETS:
        _wrap(shutil.which("kubectl") or "kubectl")


def minor(program: Path) -> int:
    """The release: 20 of 1.20."""
    said = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    return int(json.loads(said)["clientVersion"]["minor"].rstrip("+"))


def _wrap(kubectl: str) -> None:
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    PROGRAM.unlink(missing_ok=True)
    switches = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false"
    PROGRAM.write_text(f'#!/bin/sh\nexec env {switches} {shlex.quote(kubectl)} "$@"\n')
    PROGRAM.chmod(0o755)

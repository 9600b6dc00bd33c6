"""The kubectls the tests run: today's over WebSocket, today's over SPDY, and Debian's 1.20, which knows SPDY only."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import kubectls


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One kubectl and what it needs in its environment."""

    name: str
    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def websocket(self) -> bool:
        return self.name == "websocket"


def find(name: str) -> Client:
    """Return the client, or skip the test where this machine cannot have it."""
    if name == "1.20":
        return Client(name=name, program=str(kubectls.old()))
    program = shutil.which("kubectl")
    if program is None or _minor(program) < 31:
        pytest.skip("needs kubectl 1.31 or newer on PATH")
    off = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
    return Client(name=name, program=program, environment={} if name == "websocket" else off)


@functools.cache
def _minor(program: str) -> int:
    output = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    return int(json.loads(output)["clientVersion"]["minor"].rstrip("+"))


async def start(
    client: Client,
    url: str,
    *arguments: str,
    home: Path,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
) -> asyncio.subprocess.Process:
    """Start a kubectl against the server at ``url``, with nothing of the user's configuration."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": "/dev/null", "TERM": "xterm", **client.environment}
    return await asyncio.create_subprocess_exec(
        client.program,
        f"--server={url}",
        "--insecure-skip-tls-verify",
        "--token=none",  # else it asks for a password over https
        f"--cache-dir={home}/cache",
        *arguments,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int, bytes, bytes]:
    """Return exit code, stdout and stderr."""
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout, stderr

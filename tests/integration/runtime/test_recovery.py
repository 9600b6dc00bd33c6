"""kill -9 of the server, and a new one: what ran still runs, what was half done is gone."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podspace import settings
from podspace.linux import cgroups, mounts

pytestmark = pytest.mark.root


class Server:
    """The process under test."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.runtime.server", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": "src:."},
        )
        assert self._read() == "ready"

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, verb: str, *arguments: Any) -> Any:
        """None when it died of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._read()

    def kill(self) -> None:
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Idempotent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


Starter = Callable[[], Server]


@pytest.fixture
def start(root: Path) -> Iterator[Starter]:
    """Start a server on one root; afterwards the host's own tables must not know of it."""
    started: list[Server] = []

    def starter() -> Server:
        started.append(Server(root))
        return started[-1]

    yield starter
    for server in started:
        server.kill()
    config = settings.Settings(paths=settings.Paths.under(root / "r"))
    here = cgroups.detect()
    left = here.processes(config.cgroup_root)
    asyncio.run(here.kill(config.cgroup_root))
    here.remove(config.cgroup_root)
    assert left == []
    assert mounts.below(root) == []


def test_after_kill_9_the_same_processes_are_adopted_and_usable(start: Starter) -> None:
    server = start()
    sandbox = server.ask("sandbox", "pod")
    web = server.ask("run", sandbox, "web", False, "sleep", "1001")
    shell = server.ask("run", sandbox, "shell", True, "sh")
    server.ask("exec", web, "sh", "-c", "echo kept >/dev/shm/note; echo kept >/tmp/note")
    before = server.ask("status")
    server.kill()

    server = start()
    after = server.ask("status")
    assert after[:2] == before[:2]
    assert after[2] == {sandbox: before[0][0][1]}
    assert after[3] == before[3], "the mounts of the former server are seen again"
    assert server.ask("exec", web, "cat", "/dev/shm/note", "/tmp/note") == "kept\nkept\n"
    assert "0:sh" in server.ask("attach", shell, "echo $?:$0\n", "0:sh\r\n")
    late = server.ask("run", sandbox, "late", False, "sh", "-c", "cat /dev/shm/note; ps -o args; exit 6")
    assert server.ask("event") == ["CONTAINER_EXITED", late]
    assert server.ask("remove") == []
    server.close()


def test_what_ended_while_nobody_looked_is_told_with_its_code(start: Starter) -> None:
    server = start()
    sandbox = server.ask("sandbox", "pod")
    web = server.ask(
        "run", sandbox, "web", False, "sh", "-c", "sleep 1001 & trap 'exit 5' TERM; : >/dev/shm/up; while :; do sleep 0.01; done"
    )
    server.ask("exec", web, "sh", "-c", "until [ -e /dev/shm/up ]; do :; done")
    pid = next(row[1] for row in server.ask("status")[1] if row[0] == web)
    server.kill()
    watched = os.pidfd_open(pid)
    os.kill(pid, 15)
    select.select([watched], [], [], 10)
    os.close(watched)

    server = start()
    assert server.ask("event") == ["CONTAINER_EXITED", web]
    assert server.ask("status")[1] == [[web, 0, "EXITED", 5, "Error"]]
    server.kill()
    server = start()
    assert server.ask("status")[1] == [[web, 0, "EXITED", 5, "Error"]]
    assert server.ask("remove") == []
    server.close()


def test_a_sandbox_whose_pause_died_meanwhile_is_not_ready(start: Starter) -> None:
    server = start()
    sandbox = server.ask("sandbox", "pod")
    pause = server.ask("status")[0][0][1]
    server.kill()
    os.kill(pause, 9)
    server = start()
    assert server.ask("event")[0] == "SANDBOX_EXITED"
    assert server.ask("status")[0] == [[sandbox, 0, "NOT_READY"]]
    assert server.ask("remove") == []
    server.close()


@pytest.mark.parametrize("what", ["sandbox", "container"])
def test_killed_at_any_moment_nothing_half_made_survives(start: Starter, what: str) -> None:
    moments = (0, 1, 2, 3, 4, 6, 8, 10, 13) if what == "sandbox" else (16, 20, 24, 28, 32, 36, 40, 46, 52, 60)
    for milliseconds in moments:
        server = start()
        answer = server.ask("die", milliseconds, what)
        server.close()
        server = start()
        for row in server.ask("status")[0]:
            assert row[2] == "READY"  # run_sandbox was through: adopted
        assert server.ask("remove") == [], f"killed after {milliseconds} ms ({answer})"
        server.close()

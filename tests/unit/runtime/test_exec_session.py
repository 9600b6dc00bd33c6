"""Who an exec that is ended takes along."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podspace.linux import procfs
from podspace.runtime import exec_session


def test_family_is_session_and_descendants() -> None:
    def stat(pid: int, parent: int, session: int) -> procfs.Stat:
        return procfs.Stat(pid=pid, comm="", state="S", parent=parent, session=session, exiting=False, start_time=0, arg_start=0, arg_end=0)

    stats = [stat(2, 1, 1), stat(5, 2, 5), stat(6, 1, 5), stat(7, 6, 7), stat(8, 2, 1)]
    assert exec_session.family(5, stats) == {5, 6, 7}


def test_who_is_to_be_killed_is_stopped_before_it_is_looked_at_what_it_started() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 1000 & echo up; wait"], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    looks: list[set[int]] = []

    def candidates() -> list[int]:
        until = time.monotonic() + 30
        while (leader := procfs.stat(child.pid)) is None or leader.state != "T":  # what it was sent takes its moment
            assert time.monotonic() < until
        stats = [found for pid in procfs.pids() if (found := procfs.stat(pid)) is not None and found.session == child.pid]
        looks.append({found.pid for found in stats})
        return [found.pid for found in stats]

    killed = exec_session._kill_family(child.pid, candidates)
    assert child.wait() == -9
    assert child.stdout.read() == b""  # the other had it too, and is gone
    child.stdout.close()
    assert looks == [killed, killed]
    assert len(killed) == 2


@pytest.mark.parametrize(
    ("files", "container_ended", "expected"),
    [
        ({"pid": "7"}, False, False),
        ({}, False, True),
        ({"log": json.dumps({"level": "error", "msg": "no such program"})}, True, True),
        ({"pid": "7"}, True, False),
        ({}, True, False),  # removed with the container
    ],
)
def test_who_had_no_process_is_told_apart_from_who_ended_with_the_container(
    files: dict[str, str], container_ended: bool, expected: bool, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    container = SimpleNamespace(exited=asyncio.Event())
    if container_ended:
        container.exited.set()
    session = exec_session.Session(child=cast(Any, None), folder=tmp_path)
    assert exec_session.never_began(cast(Any, container), session) is expected

"""A census of this test's own children: what is read again, and what is known to be as it was."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from podspace.lens import model, processes
from podspace.linux import cgroups
from podspace.runtime.model import NamespaceMode


class OneCgroup:
    """A cgroup v2 that holds what it is told to hold."""

    version = 2

    def __init__(self, folder: Path, pids: list[int]) -> None:
        self.pids = pids
        self._folder = folder
        self.ran(0)

    def ran(self, micros: int) -> None:
        (self._folder / "cpu.stat").write_text(f"usage_usec {micros}\nuser_usec 0\n")

    def processes(self, _: str) -> list[int]:
        return list(self.pids)

    def folder(self, *_: str) -> Path:
        return self._folder


@pytest.fixture
def children() -> Iterator[list[int]]:
    started = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    for child in started:  # Popen returns before the kernel has put the arguments in place
        while Path(f"/proc/{child.pid}/cmdline").read_bytes() != b"sleep\x00600\x00":
            time.sleep(0.001)
    yield [child.pid for child in started]
    for child in started:
        child.kill()
        child.wait()


@pytest.fixture
def here(tmp_path: Path, children: list[int]) -> OneCgroup:
    return OneCgroup(tmp_path, children)


def look(here: OneCgroup, memory: processes.Memory, **more: Any) -> dict[int, model.Process]:
    member = model.Member(name="one", pid=here.pids[0], cgroup="/one")
    pod = model.PodHandle(name="p", namespace="default", uid="u", pid_mode=NamespaceMode.CONTAINER, members=(member,))
    found = processes.census(pod, cast(cgroups.Cgroups, here), memory=memory, **more)
    return {process.pid: process for process in found.processes}


def test_a_container_at_rest_is_not_read_again(here: OneCgroup) -> None:
    memory = processes.Memory()
    first, second = look(here, memory), look(here, memory)
    assert sorted(first) == sorted(here.pids)
    assert all(second[pid] is first[pid] for pid in here.pids)


def test_one_that_has_run_is(here: OneCgroup) -> None:
    memory = processes.Memory()
    first = look(here, memory)
    here.ran(1)
    second = look(here, memory)
    assert not any(second[pid] is first[pid] for pid in here.pids)
    assert {pid: process.argv for pid, process in second.items()} == dict.fromkeys(here.pids, ("sleep", "600"))


def test_one_whose_processes_are_others_is(here: OneCgroup) -> None:
    memory = processes.Memory()
    look(here, memory)
    here.pids.pop()
    assert sorted(look(here, memory)) == here.pids


def test_what_was_not_asked_for_before_is_read(here: OneCgroup) -> None:
    memory = processes.Memory()
    assert not look(here, memory)[here.pids[1]].threads
    assert look(here, memory, threads=True)[here.pids[1]].threads


def test_where_cpu_time_is_not_counted_everything_is_read_always(here: OneCgroup, tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").unlink()
    memory = processes.Memory()
    first, second = look(here, memory), look(here, memory)
    assert second[here.pids[0]] is not first[here.pids[0]]

"""Both versions on folders that look like theirs."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from podspace.linux import cgroups

LIMITS = cgroups.Limits(cpu_shares=512, cpu_quota_micros=50_000, cpu_period_micros=100_000, memory_limit_bytes=1 << 20, pids_limit=9)


def test_v1_writes_each_limit_where_its_controller_is(tmp_path: Path) -> None:
    roots = {name: tmp_path / name for name in ("cpu", "memory", "pids")}
    here = cgroups.V1(roots)
    here.create("/podspace/pod1", LIMITS)
    read = {path.name: path.read_text() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert read == {
        "cpu.shares": "512",
        "cpu.cfs_quota_us": "50000",
        "cpu.cfs_period_us": "100000",
        "memory.limit_in_bytes": "1048576",
        "pids.max": "9",
    }


def test_v2_delegates_controllers_and_writes_limits(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    cgroups.V2(tmp_path).create("/podspace/pod1", LIMITS)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"
    pod = tmp_path / "podspace/pod1"
    assert (pod / "cpu.max").read_text() == "50000 100000"
    assert (pod / "memory.max").read_text() == "1048576"
    assert (pod / "cpu.weight").read_text() == "20"


@pytest.mark.parametrize("version", [1, 2])
def test_huge_pages_of_sizes_that_are_not_named_can_be_denied(tmp_path: Path, version: int) -> None:
    here: cgroups.Cgroups = cgroups.V2(tmp_path) if version == 2 else cgroups.V1({"memory": tmp_path / "m", "hugetlb": tmp_path})
    name, folder = "max" if version == 2 else "limit_in_bytes", tmp_path / "podspace" / "pod1"
    folder.mkdir(parents=True)
    files = [folder / f"hugetlb.{size}.{name}" for size in ("2MB", "1GB", "2MB.rsvd")]
    for file in files:
        file.write_text("max")
    here.adjust("/podspace/pod1", cgroups.Limits(hugepage_limit_bytes={"2MB": 4 << 20}))
    assert [file.read_text() for file in files] == [str(4 << 20), "max", "max"]
    here.create("/podspace/pod1", cgroups.Limits(hugepage_limit_bytes={"2MB": 4 << 20}, huge_pages_named_only=True))
    assert [file.read_text() for file in files] == [str(4 << 20), "0", "max"]


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_not_named_stays_as_it_is(tmp_path: Path, version: int) -> None:
    here: cgroups.Cgroups = cgroups.V2(tmp_path) if version == 2 else cgroups.V1({"cpu": tmp_path, "memory": tmp_path, "pids": tmp_path})
    here.create("/podspace/burstable/pod1", LIMITS)
    here.adjust("/podspace/burstable/pod1", cgroups.Limits(memory_limit_bytes=2 << 20))
    here.adjust("/podspace/burstable", cgroups.Limits(cpu_shares=2))
    pod = tmp_path / "podspace/burstable/pod1"
    assert (pod / ("memory.max" if version == 2 else "memory.limit_in_bytes")).read_text() == str(2 << 20)
    assert (pod / ("cpu.max" if version == 2 else "cpu.cfs_quota_us")).read_text().split()[0] == "50000"
    assert (pod.parent / ("cpu.weight" if version == 2 else "cpu.shares")).read_text() == ("1" if version == 2 else "2")


def test_only_controllers_that_can_be_handed_on_are_usable(tmp_path: Path) -> None:
    """In a cgroup namespace with processes at its root the kernel refuses memory and io."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu pids\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgroups, "_write", _busy)
        assert cgroups.usable_controllers(tmp_path) == ["cpu", "pids"]


def _busy(path: Path, value: str) -> None:
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


def test_shares_become_weights_as_everywhere_else() -> None:
    assert [cgroups.weight_of_shares(shares) for shares in (0, 2, 1024, 262144)] == [0, 1, 39, 10000]


def test_what_is_not_there_is_empty_and_removing_it_is_fine(tmp_path: Path) -> None:
    here = cgroups.V2(tmp_path)
    assert (here.processes("/x"), here.children("/x"), here.oom_kills("/x"), here.exists("/x")) == ([], [], 0, False)
    asyncio.run(here.kill("/x"))
    here.remove("/x")
    here.prune("/x")


def test_processes_are_those_of_the_whole_tree(tmp_path: Path) -> None:
    for path, pids in (("a", "1\n"), ("a/b", "2\n3\n")):
        (tmp_path / path).mkdir()
        (tmp_path / path / "cgroup.procs").write_text(pids)
    (tmp_path / "a/memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    here = cgroups.V2(tmp_path)
    assert sorted(here.processes("/a")) == [1, 2, 3]
    assert here.children("/a") == ["/a/b"]
    assert here.oom_kills("/a") == 2


@pytest.mark.parametrize("version", [1, 2])
def test_to_expect_moves_is_to_move_to_where_one_is(tmp_path: Path, version: int) -> None:
    controllers, path = next(
        (
            line.split(":", 2)[1:]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if bool(line.split(":")[1]) == (version == 1)
        ),
        (None, ""),
    )
    if controllers is None:
        pytest.skip(f"this machine has no cgroups of version {version}")
    place = tmp_path / path.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    here = cgroups.V2(tmp_path) if version == 2 else cgroups.V1({controllers.split(",")[0]: tmp_path})
    here.expect_moves()
    assert (place / "cgroup.procs").read_text() == "0"

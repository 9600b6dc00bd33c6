"""What a monitoring system asks of a cgroup, from either version's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from podspace.linux import cgroup_details, cgroups, pressure

PSI = "some avg10=1.50 avg60=0.20 avg300=0.00 total=4000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_version_two(tmp_path: Path) -> None:
    write(
        tmp_path / "a",
        {
            "cpu.stat": "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 8\n",
            "memory.current": "100\n",
            "memory.stat": "anon 30\nfile 40\nfile_mapped 10\nkernel 7\npgfault 5\npgmajfault 1\n",
            "memory.events": "low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n",
            "memory.peak": "200\n",
            "memory.swap.current": "10\n",
            "memory.swap.max": "50\n",
            "pids.max": "max\n",
            "io.stat": "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n",
            "hugetlb.2MB.current": "2097152\n",
            "hugetlb.2MB.rsvd.current": "0\n",
            "cpu.pressure": PSI,
        },
    )
    found = cgroup_details.read(cgroups.V2(tmp_path), "/a")
    assert (found.user_nanos, found.system_nanos, found.periods, found.throttled_periods, found.throttled_nanos) == (5000, 4000, 3, 2, 8000)
    assert (found.cache_bytes, found.mapped_file_bytes, found.kernel_bytes, found.max_usage_bytes) == (40, 10, 7, 200)
    assert (found.limit_hits, found.oom_kills, found.most_processes) == (6, 1, 0)
    assert found.usage.available_swap_bytes == 40
    assert found.devices[0] == cgroup_details.Device(major=254, minor=0, read_bytes=1, written_bytes=2, reads=3, writes=4)
    assert dict(found.huge_pages) == {"2MB": cgroup_details.HugePages(usage_bytes=2097152, max_usage_bytes=2097152)}
    assert found.pressure == {
        "cpu": pressure.Pressure(
            some=pressure.Stall(total_micros=4_000_000, avg10=1.5, avg60=0.2), full=pressure.Stall(total_micros=1_000_000)
        )
    }


def test_version_one(tmp_path: Path) -> None:
    write(tmp_path / "cpu/a", {"cpu.stat": "nr_periods 3\nnr_throttled 2\nthrottled_time 8\n"})
    write(tmp_path / "cpuacct/a", {"cpuacct.stat": "user 2\nsystem 1\n", "cpuacct.usage": "31\n"})
    write(
        tmp_path / "memory/a",
        {
            "memory.stat": "pgfault 4\npgmajfault 1\ntotal_cache 40\ntotal_mapped_file 10\ntotal_pgfault 5\ntotal_pgmajfault 2\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            "memory.failcnt": "6\n",
            "memory.kmem.usage_in_bytes": "7\n",
            "memory.max_usage_in_bytes": "200\n",
            "memory.usage_in_bytes": "100\n",
            "memory.limit_in_bytes": "1000\n",
            "memory.memsw.usage_in_bytes": "110\n",
            "memory.memsw.limit_in_bytes": "1050\n",
        },
    )
    write(tmp_path / "pids/a", {"pids.max": "77\n"})
    write(
        tmp_path / "blkio/a",
        {
            "blkio.throttle.io_service_bytes_recursive": "254:0 Read 1\n254:0 Write 2\n254:0 Total 3\nTotal 3\n",
            "blkio.throttle.io_serviced_recursive": "254:0 Read 3\n254:0 Write 4\n",
        },
    )
    write(tmp_path / "hugetlb/a", {"hugetlb.1GB.usage_in_bytes": "5\n", "hugetlb.1GB.max_usage_in_bytes": "6\n"})
    names = ("cpu", "cpuacct", "memory", "pids", "blkio", "hugetlb")
    found = cgroup_details.read(cgroups.V1({name: tmp_path / name for name in names}), "/a")
    assert (found.user_nanos, found.system_nanos, found.periods, found.throttled_nanos) == (20_000_000, 10_000_000, 3, 8)
    assert (found.cache_bytes, found.mapped_file_bytes, found.kernel_bytes, found.max_usage_bytes) == (40, 10, 7, 200)
    assert (found.limit_hits, found.oom_kills, found.most_processes) == (6, 3, 77)
    assert (found.own_page_faults, found.usage.page_faults, found.own_major_page_faults) == (4, 5, 1)
    assert (found.usage.swap_bytes, found.usage.available_swap_bytes) == (10, 40)
    assert found.devices == (cgroup_details.Device(major=254, minor=0, read_bytes=1, written_bytes=2, reads=3, writes=4),)
    assert dict(found.huge_pages) == {"1GB": cgroup_details.HugePages(usage_bytes=5, max_usage_bytes=6)}
    assert found.pressure == {}


def test_what_is_gone_is_zero(tmp_path: Path) -> None:
    for here in (cgroups.V2(tmp_path), cgroups.V1({"memory": tmp_path})):
        assert cgroup_details.read(here, "/gone").max_usage_bytes == 0


@pytest.mark.parametrize(("controllers", "counted"), [("cpu memory\n", False), ("cpu hugetlb\n", True)])
def test_what_a_machine_with_version_two_counts(tmp_path: Path, controllers: str, counted: bool) -> None:
    write(tmp_path / "root", {"cgroup.controllers": controllers})
    (tmp_path / "proc/pressure").mkdir(parents=True)
    assert cgroup_details.counts(tmp_path / "root", tmp_path / "proc") == {"pressure": True, "hugetlb": counted}
    assert cgroup_details.counts(tmp_path / "proc", tmp_path / "proc") == {"pressure": False, "hugetlb": False}

"""Figures of disk, network and cgroups."""

from __future__ import annotations

from pathlib import Path

from podspace.linux import cgroup_stats, cgroups
from podspace.runtime import container_update, disk_usage, model, usage

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  net1:       7       1    0    0    0     0          0         0        8       1    0    0    0     0       0          0
  eth0:    1296      15    2    0    0     0          0         0      656       7    3    0    0     0       0          0
"""


def test_the_default_interface_comes_first_and_loopback_not_at_all() -> None:
    found = usage.parse_net_dev(NET_DEV)
    assert [interface.name for interface in found] == ["eth0", "net1"]
    counted = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped")
    assert [getattr(found[0], field) for field in counted] == [1296, 15, 2, 0, 656, 7, 3, 0]


def test_a_folder_is_counted_once_for_each_inode(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_bytes(b"x" * 10_000)
    (tmp_path / "link").hardlink_to(tmp_path / "sub/file")
    found = disk_usage.walk(tmp_path)
    assert found.inodes == 2
    assert found.bytes >= 10_000
    assert disk_usage.walk(tmp_path / "absent").bytes == 0


def test_figures_of_version_two(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "memory.current").write_text("1000\n")
    (folder / "memory.max").write_text("4000\n")
    (folder / "memory.stat").write_text("anon 300\ninactive_file 200\npgfault 5\npgmajfault 1\n")
    (folder / "cpu.stat").write_text("usage_usec 7\n")
    (folder / "pids.current").write_text("3\n")
    found = cgroup_stats.read(cgroups.V2(tmp_path), "/a")
    assert (found.cpu_nanos, found.working_set_bytes, found.rss_bytes, found.available_bytes) == (7000, 800, 300, 3200)
    assert (found.page_faults, found.major_page_faults, found.processes) == (5, 1, 3)


def test_figures_of_version_one(tmp_path: Path) -> None:
    for controller in ("memory", "cpuacct", "pids"):
        (tmp_path / controller / "a").mkdir(parents=True)
    (tmp_path / "memory/a/memory.usage_in_bytes").write_text("1000\n")
    (tmp_path / "memory/a/memory.memsw.usage_in_bytes").write_text("1100\n")
    (tmp_path / "memory/a/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "memory/a/memory.stat").write_text("rss 1\ntotal_rss 300\ntotal_inactive_file 200\n")
    (tmp_path / "cpuacct/a/cpuacct.usage").write_text("77\n")
    found = cgroup_stats.read(cgroups.V1({name: tmp_path / name for name in ("memory", "cpuacct", "pids")}), "/a")
    assert (found.cpu_nanos, found.working_set_bytes, found.rss_bytes, found.swap_bytes) == (77, 800, 300, 100)
    assert (found.memory_limit_bytes, found.available_bytes) == (0, 0)


def test_an_update_changes_what_it_names_and_keeps_the_rest() -> None:
    before = model.Resources(cpu_shares=10, memory_limit_bytes=5, oom_score_adj=7)
    assert container_update.merged(before, model.Resources(memory_limit_bytes=6, oom_score_adj=1)) == model.Resources(
        cpu_shares=10, memory_limit_bytes=6, oom_score_adj=7
    )

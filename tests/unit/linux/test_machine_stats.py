"""The machine's own figures, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

from podspace.linux import machine_stats

STAT = "cpu  100 10 50 9000 900 5 5 30 77 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
MEMINFO = "MemTotal:       8000 kB\nMemFree:        3000 kB\nInactive(file):  1000 kB\nHugePages_Total:       0\n"


def test_time_that_no_cpu_was_idle_and_memory_that_is_not_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "meminfo").write_text(MEMINFO)
    used = machine_stats.read(tmp_path)
    assert used.cpu_nanos == 200 * 10_000_000
    assert used.working_set_bytes == 4000 * 1024

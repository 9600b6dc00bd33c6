"""What a cgroup has used: one set of figures from either version's files.

Called by ``runtime.usage``. The working set is the kubelet's: usage without the file pages that have not been touched of late.
Source: Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst; cadvisor's definition of working set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podspace.linux import cgroups

_UNLIMITED_BYTES = 1 << 60  # v1 says "no limit" with a number near 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Since the cgroup was made, or now. A limit of 0 = none."""

    cpu_nanos: int = 0
    memory_bytes: int = 0
    working_set_bytes: int = 0
    rss_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    memory_limit_bytes: int = 0
    swap_bytes: int = 0
    swap_limit_bytes: int = 0
    processes: int = 0

    @property
    def available_bytes(self) -> int:
        """Under the limit; 0 without one."""
        return max(0, self.memory_limit_bytes - self.working_set_bytes) if self.memory_limit_bytes else 0

    @property
    def available_swap_bytes(self) -> int:
        """Under the limit; 0 without one."""
        return max(0, self.swap_limit_bytes - self.swap_bytes)


def read(here: cgroups.Cgroups, path: str) -> Usage:
    """Figures of one cgroup; zeros for what the machine does not count or what is gone."""
    return _v2(here, path) if here.version == 2 else _v1(here, path)


def cpu_used(here: cgroups.Cgroups, path: str) -> int | None:
    """CPU time of a cgroup so far, as finely as the kernel tells it: the same number twice means that nothing in it has run between.

    None where it is not counted. What runs at this very moment is charged at the next tick of the clock.
    """
    if here.version == 2:
        return pairs(text(here.folder("", path), "cpu.stat")).get("usage_usec")
    counted = text(here.folder("cpuacct", path), "cpuacct.usage")
    return int(counted) if counted else None


def _v1(here: cgroups.Cgroups, path: str) -> Usage:
    memory = here.folder("memory", path)
    stat = pairs(text(memory, "memory.stat"))
    used, limit = number(memory, "memory.usage_in_bytes"), number(memory, "memory.limit_in_bytes")
    both, both_limit = number(memory, "memory.memsw.usage_in_bytes"), number(memory, "memory.memsw.limit_in_bytes")
    return Usage(
        cpu_nanos=number(here.folder("cpuacct", path), "cpuacct.usage"),
        memory_bytes=used,
        working_set_bytes=max(0, used - stat.get("total_inactive_file", 0)),
        rss_bytes=stat.get("total_rss", 0),
        page_faults=stat.get("total_pgfault", 0),
        major_page_faults=stat.get("total_pgmajfault", 0),
        memory_limit_bytes=limit if limit < _UNLIMITED_BYTES else 0,
        swap_bytes=max(0, both - used),
        swap_limit_bytes=max(0, both_limit - limit) if both_limit < _UNLIMITED_BYTES else 0,
        processes=number(here.folder("pids", path), "pids.current"),
    )


def _v2(here: cgroups.Cgroups, path: str) -> Usage:
    folder = here.folder("", path)
    stat = pairs(text(folder, "memory.stat"))
    used = number(folder, "memory.current")
    return Usage(
        cpu_nanos=pairs(text(folder, "cpu.stat")).get("usage_usec", 0) * 1000,
        memory_bytes=used,
        working_set_bytes=max(0, used - stat.get("inactive_file", 0)),
        rss_bytes=stat.get("anon", 0),
        page_faults=stat.get("pgfault", 0),
        major_page_faults=stat.get("pgmajfault", 0),
        memory_limit_bytes=number(folder, "memory.max"),
        swap_bytes=number(folder, "memory.swap.current"),
        swap_limit_bytes=number(folder, "memory.swap.max"),
        processes=number(folder, "pids.current"),
    )


def pairs(lines: str) -> Mapping[str, int]:
    """Lines of ``name number``."""
    words = (line.split() for line in lines.splitlines())
    return {found[0]: int(found[1]) for found in words if len(found) == 2 and found[1].isdigit()}


def text(folder: Path | None, name: str) -> str:
    """A file of a cgroup, "" if it is not there."""
    try:
        return "" if folder is None else (folder / name).read_text()
    except OSError:
        return ""


def number(folder: Path | None, name: str) -> int:
    """The one number in a file of a cgroup; 0 for none ("max", no such file)."""
    found = text(folder, name).strip()
    return int(found) if found.isdigit() else 0

"""What the whole machine uses: its CPUs' time and its memory, from /proc.

Called by ``node.meter``. The root cgroup would not do: on v2 it counts no memory, and in a container it is not the machine's.
Source: proc(5); cadvisor's figures for the root: memory that is not free, without the file pages that have not been touched of late.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from podspace.linux import cgroup_stats

_NANOS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)  # idle, iowait
_COUNTED = 8  # user nice system idle iowait irq softirq steal; guests are in user already


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineUsage:
    """CPU time since the machine started, memory of now."""

    cpu_nanos: int
    working_set_bytes: int


def read(proc: Path) -> MachineUsage:
    """Raises: OSError."""
    memory = cgroup_stats.pairs((proc / "meminfo").read_text().replace(":", "").replace(" kB", ""))
    used = memory["MemTotal"] - memory["MemFree"] - memory.get("Inactive(file)", 0)
    return MachineUsage(cpu_nanos=_cpu_nanos((proc / "stat").read_text()), working_set_bytes=max(used, 0) * 1024)


def _cpu_nanos(stat: str) -> int:
    ticks = [int(word) for word in stat.partition("\n")[0].split()[1 : _COUNTED + 1]]
    return sum(count for place, count in enumerate(ticks) if place not in _IDLE) * _NANOS_PER_TICK

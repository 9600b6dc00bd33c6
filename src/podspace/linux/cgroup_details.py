"""Everything a monitoring system asks of one cgroup, beyond what ``cgroup_stats`` reads for every kubelet: one set of figures for both.

Called by ``runtime.details``. Source: Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst; what cadvisor makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podspace.linux import cgroup_stats, cgroups, pressure

_TICK_NANOS = 10_000_000  # USER_HZ is 100 on every architecture Linux has today
_NANOS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What went to and from a block device."""

    major: int
    minor: int
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePages:
    """Of one size ("2MB")."""

    usage_bytes: int
    max_usage_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Since the cgroup was made, or now; 0 where the machine does not count. Faults: of the cgroup, and with those below it."""

    usage: cgroup_stats.Usage
    user_nanos: int = 0
    system_nanos: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled_nanos: int = 0
    cache_bytes: int = 0
    mapped_file_bytes: int = 0
    kernel_bytes: int = 0
    max_usage_bytes: int = 0
    limit_hits: int = 0
    oom_kills: int = 0
    own_page_faults: int = 0
    own_major_page_faults: int = 0
    most_processes: int = 0  # 0 = no limit
    devices: tuple[Device, ...] = ()
    huge_pages: Mapping[str, HugePages] = field(default_factory=dict)
    pressure: Mapping[str, pressure.Pressure] = field(default_factory=dict)


def counts(root: Path = cgroups.ROOT, proc: Path = Path("/proc")) -> Mapping[str, bool]:
    """What not every machine counts by cgroup: ``pressure`` and ``hugetlb``."""
    v2 = (root / "cgroup.controllers").exists()
    huge_pages = "hugetlb" in cgroup_stats.text(root, "cgroup.controllers").split() if v2 else (root / "hugetlb").is_dir()
    return {"pressure": v2 and (proc / "pressure").is_dir(), "hugetlb": huge_pages}


def read(here: cgroups.Cgroups, path: str) -> Details:
    """Figures of one cgroup; zeros for what is gone."""
    usage = cgroup_stats.read(here, path)
    return _v2(here, path, usage) if here.version == 2 else _v1(here, path, usage)


def _v1(here: cgroups.Cgroups, path: str, usage: cgroup_stats.Usage) -> Details:
    cpu, memory = here.folder("cpu", path), here.folder("memory", path)
    stat, throttling = cgroup_stats.pairs(cgroup_stats.text(memory, "memory.stat")), cgroup_stats.pairs(cgroup_stats.text(cpu, "cpu.stat"))
    spent = cgroup_stats.pairs(cgroup_stats.text(here.folder("cpuacct", path), "cpuacct.stat"))
    return Details(
        usage=usage,
        user_nanos=spent.get("user", 0) * _TICK_NANOS,
        system_nanos=spent.get("system", 0) * _TICK_NANOS,
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_nanos=throttling.get("throttled_time", 0),
        cache_bytes=stat.get("total_cache", 0),
        mapped_file_bytes=stat.get("total_mapped_file", 0),
        kernel_bytes=cgroup_stats.number(memory, "memory.kmem.usage_in_bytes"),
        max_usage_bytes=cgroup_stats.number(memory, "memory.max_usage_in_bytes"),
        limit_hits=cgroup_stats.number(memory, "memory.failcnt"),
        oom_kills=cgroup_stats.pairs(cgroup_stats.text(memory, "memory.oom_control")).get("oom_kill", 0),
        own_page_faults=stat.get("pgfault", 0),
        own_major_page_faults=stat.get("pgmajfault", 0),
        most_processes=cgroup_stats.number(here.folder("pids", path), "pids.max"),
        devices=tuple(_throttled_devices(here.folder("blkio", path))),
        huge_pages=_huge_pages(here.folder("hugetlb", path), "usage_in_bytes", "max_usage_in_bytes"),
    )


def _v2(here: cgroups.Cgroups, path: str, usage: cgroup_stats.Usage) -> Details:
    folder = here.folder("", path)
    stat, cpu = cgroup_stats.pairs(cgroup_stats.text(folder, "memory.stat")), cgroup_stats.pairs(cgroup_stats.text(folder, "cpu.stat"))
    events = cgroup_stats.pairs(cgroup_stats.text(folder, "memory.events"))
    return Details(
        usage=usage,
        user_nanos=cpu.get("user_usec", 0) * _NANOS,
        system_nanos=cpu.get("system_usec", 0) * _NANOS,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_nanos=cpu.get("throttled_usec", 0) * _NANOS,
        cache_bytes=stat.get("file", 0),
        mapped_file_bytes=stat.get("file_mapped", 0),
        kernel_bytes=stat.get("kernel", 0),
        max_usage_bytes=cgroup_stats.number(folder, "memory.peak"),
        limit_hits=events.get("max", 0),
        oom_kills=events.get("oom_kill", 0),
        own_page_faults=stat.get("pgfault", 0),
        own_major_page_faults=stat.get("pgmajfault", 0),
        most_processes=cgroup_stats.number(folder, "pids.max"),
        devices=tuple(io_stat(cgroup_stats.text(folder, "io.stat"))),
        huge_pages=_huge_pages(folder, "current", "current"),
        pressure=pressure.read(folder),
    )


def io_stat(lines: str) -> Iterator[Device]:
    """``8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0``, a line a device."""
    for line in lines.splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        values = {name: int(value) for name, _, value in (word.partition("=") for word in words) if value.isdigit()}
        if minor.isdigit():
            yield Device(
                major=int(major),
                minor=int(minor),
                read_bytes=values.get("rbytes", 0),
                written_bytes=values.get("wbytes", 0),
                reads=values.get("rios", 0),
                writes=values.get("wios", 0),
            )


def _throttled_devices(folder: Path | None) -> Iterator[Device]:
    sizes = throttle_stat(cgroup_stats.text(folder, "blkio.throttle.io_service_bytes_recursive"))
    counts = throttle_stat(cgroup_stats.text(folder, "blkio.throttle.io_serviced_recursive"))
    for (major, minor), size in sizes.items():
        count = counts.get((major, minor), {})
        yield Device(
            major=major,
            minor=minor,
            read_bytes=size.get("Read", 0),
            written_bytes=size.get("Write", 0),
            reads=count.get("Read", 0),
            writes=count.get("Write", 0),
        )


def throttle_stat(lines: str) -> Mapping[tuple[int, int], Mapping[str, int]]:
    """``8:0 Read 4096``, lines by device and operation."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for line in lines.splitlines():
        words = line.split()
        major, _, minor = words[0].partition(":") if words else ("", "", "")
        if len(words) == 3 and major.isdigit() and minor.isdigit() and words[2].isdigit():
            found.setdefault((int(major), int(minor)), {})[words[1]] = int(words[2])
    return found


def _huge_pages(folder: Path | None, usage: str, most: str) -> Mapping[str, HugePages]:
    if folder is None:
        return {}
    return {
        file.name.split(".")[1]: HugePages(
            usage_bytes=cgroup_stats.number(folder, file.name),
            max_usage_bytes=cgroup_stats.number(folder, file.name.removesuffix(usage) + most),
        )
        for file in sorted(folder.glob(f"hugetlb.*.{usage}"))
        if len(file.name.split(".")) == 3  # not hugetlb.2MB.rsvd.current
    }

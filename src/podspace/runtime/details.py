"""All that can be measured of a container, for monitoring systems that take it from the node. Called by ``Engine``, blocking: in a thread.

Read when asked for, like ``usage``, which has what every kubelet asks for. Source: KEP-2371; cadvisor's metrics.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from podspace.linux import cgroup_details
from podspace.runtime import disk_usage, model, records, world

_OPEN_FILES = "Max open files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What a container's processes hold together. ``open_files_limit``: the soft one of its first process."""

    processes: int = 0
    threads: int = 0
    files: int = 0
    sockets: int = 0
    open_files_limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """The one that the container's root is on."""

    device: str = ""
    bytes: int = 0
    inodes: int = 0
    free_inodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Figures of one container; ``status`` has its limits and times."""

    status: model.ContainerStatus
    cgroup: cgroup_details.Details
    processes: Processes
    layer: disk_usage.DiskUsage
    file_system: FileSystem


def of_container(here: world.World, container: records.Container, layer: disk_usage.DiskUsage) -> Details:
    """Figures of now; zeros for what is gone meanwhile."""
    status = container.status()
    return Details(
        status=status,
        cgroup=cgroup_details.read(here.cgroups, container.intent.cgroup),
        processes=_processes(here.cgroups.processes(container.intent.cgroup), status.pid),
        layer=layer,
        file_system=_file_system(here.layout.snapshot(container.id)),
    )


def _processes(pids: list[int], first: int) -> Processes:
    threads = files = sockets = 0
    for pid in pids:
        threads += sum(1 for _ in _names(f"/proc/{pid}/task"))
        for link in _links(f"/proc/{pid}/fd"):
            files += 1
            sockets += link.startswith("socket:")
    return Processes(processes=len(pids), threads=threads, files=files, sockets=sockets, open_files_limit=_open_files_limit(first))


def _names(folder: str) -> Iterator[str]:
    try:
        yield from os.listdir(folder)
    except OSError:
        return


def _links(folder: str) -> Iterator[str]:
    for name in _names(folder):
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:  # closed meanwhile
            continue


def _open_files_limit(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/limits").read_text() if pid else ""
    except OSError:
        return 0
    return next((soft_limit(line) for line in text.splitlines() if line.startswith(_OPEN_FILES)), 0)


def soft_limit(line: str) -> int:
    """``Max open files            1024                 20000                files``; 0 = unlimited. Source: proc(5)."""
    word = line.removeprefix(_OPEN_FILES).split()[0]
    return int(word) if word.isdigit() else 0


def _file_system(folder: Path) -> FileSystem:
    try:
        found, status = os.statvfs(folder), folder.stat()
    except OSError:
        return FileSystem()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    return FileSystem(device=_device_name(device), bytes=found.f_blocks * found.f_frsize, inodes=found.f_files, free_inodes=found.f_ffree)


def _device_name(number: str) -> str:
    """ "/dev/sda1", or the number of a file system that is on no block device."""
    try:
        return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{number}'))}"
    except OSError:
        return number


def device_name(major: int, minor: int) -> str:
    """Of a block device that a cgroup counts."""
    return _device_name(f"{major}:{minor}")

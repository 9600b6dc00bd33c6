"""Whether this machine runs out of memory or disk, as a Node's conditions tell it. Cheap: one small file and two ``statvfs``.

Called by ``registration`` whenever it renews the Lease. Nothing is evicted for it; ``image_gc`` frees what it can before it comes to this.
Source: kubelet pkg/kubelet/apis/config/v1beta1 (default hard eviction thresholds), pkg/kubelet/nodestatus.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LEAST_MEMORY_BYTES = 100 << 20
LEAST_DISK_PERCENT = 10
LEAST_IMAGE_DISK_PERCENT = 15
LEAST_INODES_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left."""

    memory_bytes: int
    disk_percent: int
    inodes_percent: int
    image_disk_percent: int

    @property
    def lacks_memory(self) -> bool:
        return self.memory_bytes < LEAST_MEMORY_BYTES

    @property
    def lacks_disk(self) -> bool:
        return (
            self.disk_percent < LEAST_DISK_PERCENT
            or self.inodes_percent < LEAST_INODES_PERCENT
            or self.image_disk_percent < LEAST_IMAGE_DISK_PERCENT
        )


def look(pods: Path, images: Path) -> Room:
    """Of now. Raises: OSError."""
    disk, image_disk = os.statvfs(pods), os.statvfs(images)
    return Room(
        memory_bytes=available_memory_bytes(Path("/proc/meminfo").read_text()),
        disk_percent=_percent(disk.f_bavail, disk.f_blocks),
        inodes_percent=_percent(disk.f_favail, disk.f_files),
        image_disk_percent=_percent(image_disk.f_bavail, image_disk.f_blocks),
    )


def _percent(free: int, total: int) -> int:
    return free * 100 // total if total else 100  # some file systems have no number of inodes


def available_memory_bytes(meminfo: str) -> int:
    """What programs can still have, as the kernel reckons it."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024


def conditions(room: Room) -> tuple[tuple[str, str, str, str], ...]:
    """(type, status, reason, message) of the two that are about this."""
    return (_MEMORY[room.lacks_memory], _DISK[room.lacks_disk])


_MEMORY = {
    True: ("MemoryPressure", "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    False: ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
}
_DISK = {
    True: ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
    False: ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
}

"""How much of the disk a folder takes. Called by ``usage`` and by the image figures of ``cri``, in a thread."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """Of a folder and all below it, as du(1) counts, at a time in Unix nanoseconds."""

    bytes: int = 0
    inodes: int = 0
    nanos: int = 0


def walk(folder: Path) -> DiskUsage:
    """Walk a folder. Blocks; what goes away meanwhile is not counted."""
    used, seen, waiting = 0, set(), [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        used += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:
            continue
    return DiskUsage(bytes=used, inodes=len(seen), nanos=time.time_ns())

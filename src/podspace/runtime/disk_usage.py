"""How much of the disk a folder takes. Called by ``usage``, by the image figures of ``cri`` and by the node's storage watch, in a thread.

What is measured may belong to somebody who would rather not be: no link is followed, and no depth of folders hides anything.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from podspace.linux import inroot

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LONG = 3000  # bytes of a path; the kernel takes 4095 at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """Of a folder and all below it, as du(1) counts, at a time in Unix nanoseconds."""

    bytes: int = 0
    inodes: int = 0
    nanos: int = 0


@dataclass(slots=True)
class _Sum:
    blocks: int = 0
    inodes: int = 0
    linked: set[tuple[int, int]] = field(default_factory=set)  # files with several names that were counted


def walk(folder: Path) -> DiskUsage:
    """Walk a folder. Blocks; what goes away meanwhile is not counted."""
    found = _Sum()
    try:
        root = os.open(folder, _FOLDER)
    except OSError:
        return DiskUsage(nanos=time.time_ns())
    _walk(root, found)
    return DiskUsage(bytes=found.blocks * 512, inodes=found.inodes, nanos=time.time_ns())


def _walk(root: int, found: _Sum) -> None:
    """Everything below an open folder, which is closed in the end. A path that gets too long begins anew from where it has got to."""
    waiting = ["."]
    try:
        while waiting:
            here = waiting.pop()
            try:
                folder = inroot.open_at(root, here, _FOLDER, follow=False)
            except OSError:
                continue
            if len(os.fsencode(here)) > _LONG:
                _walk(folder, found)
                continue
            try:
                waiting += [f"{here}/{name}" for name in _look_at(folder, found)]
            finally:
                os.close(folder)
    finally:
        os.close(root)


def _look_at(folder: int, found: _Sum) -> list[str]:
    """Count what is in one folder; return the folders among it."""
    inner: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # it went away meanwhile; what is beside it has not
                continue
            if stat.S_ISDIR(status.st_mode):
                inner.append(entry.name)
            elif status.st_nlink > 1:
                inode = (status.st_dev, status.st_ino)
                if inode in found.linked:
                    continue
                found.linked.add(inode)
            found.blocks += status.st_blocks
            found.inodes += 1
    return inner

"""``fsGroup``: a volume given to a group, so that whoever of a Pod's containers is in it may read and write what is there.

Folders get the setgid bit, so what is made in them later is the group's too; nothing is taken from anybody else. No link is followed.
Called by ``volumes`` in a thread. Source: kubelet pkg/volume/volume_linux.go.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from podspace.linux import inroot

_READ, _WRITE, _ENTER = 0o440, 0o220, 0o110


def shared_mode(mode: int, *, folder: bool, readonly: bool = False) -> int:
    """What a mode becomes for the group's sake. Pure."""
    return mode | _READ | (0 if readonly else _WRITE) | (stat.S_ISGID | _ENTER if folder else 0)


def give(top: Path, group: int | None, *, only_if_root_differs: bool = False) -> None:
    """Give a tree to a group; None: to nobody. ``only_if_root_differs``: fsGroupChangePolicy OnRootMismatch.

    A tree is walked by descriptors: what a container swaps for a symlink meanwhile leads nowhere.  Raises: OSError.
    """
    if group is None or (only_if_root_differs and _is_given(top.lstat(), group)):
        return
    if top.is_dir():
        _give_below(top, group)
    _give_entry(str(top), None, group)  # last: it tells that all below it is done


def _give_below(top: Path, group: int) -> None:
    root = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        waiting = ["."]
        while waiting:
            here = waiting.pop()
            fd = inroot.open_at(root, here, os.O_RDONLY | os.O_DIRECTORY, follow=False)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        _give_entry(entry.name, fd, group)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(f"{here}/{entry.name}")
            finally:
                os.close(fd)
    finally:
        os.close(root)


def _is_given(status: os.stat_result, group: int) -> bool:
    mode = stat.S_IMODE(status.st_mode)
    return status.st_gid == group and shared_mode(mode, folder=True) == mode


def _give_entry(name: str, parent: int | None, group: int) -> None:
    """Owner and mode of one file, which may vanish meanwhile."""
    try:
        os.chown(name, -1, group, dir_fd=parent, follow_symlinks=False)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(fd)
        if not stat.S_ISLNK(status.st_mode):
            mode = shared_mode(stat.S_IMODE(status.st_mode), folder=stat.S_ISDIR(status.st_mode))
            os.chmod(f"/proc/self/fd/{fd}", mode)  # the descriptor itself, whatever the name stands for by now
    finally:
        os.close(fd)

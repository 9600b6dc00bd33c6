"""Files of a container, read from outside without being led outside.

A container's owner chooses what its files and symlinks say: ``/etc/passwd`` may be a link to the host's. The kernel resolves
here as if the root were the container's (openat2(2), RESOLVE_IN_ROOT). Called by ``runtime`` for passwd, group and the
working folder, and by ``lens``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from podspace.linux import syscalls

_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


def open_fd(root: Path, path: str, flags: int = os.O_RDONLY, *, mode: int = 0) -> int:
    """Open ``path`` as a process with that root would. Raises: OSError."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_at(root_fd, path, flags, mode=mode)
    finally:
        os.close(root_fd)


def open_at(root_fd: int, path: str, flags: int, *, mode: int = 0, follow: bool = True) -> int:
    """The same with a root that is open already. ``follow`` False: a symlink anywhere on the way is an error (ELOOP). Raises: OSError."""
    return syscalls.openat2(root_fd, path, flags, mode=mode, resolve=_RESOLVE if follow else _RESOLVE | syscalls.RESOLVE_NO_SYMLINKS)


def read_text(root: Path, path: str, *, limit_bytes: int = 4 << 20) -> str:
    """Return a regular file's text; "" if it is not there, is not regular, or is larger than ``limit_bytes``."""
    try:
        fd = open_fd(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit_bytes:
        os.close(fd)
        return ""
    with open(fd, "rb") as file:
        return file.read(limit_bytes).decode(errors="surrogateescape")


def make_folders(root: Path, path: str, *, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
    """Make a folder and its parents inside ``root``; symlinks on the way stay inside. ``owner``: of those made. Raises: OSError."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        done = ""
        for part in [part for part in path.split("/") if part not in ("", ".")]:
            _make_one(root_fd, done or ".", part, mode, owner)
            done = f"{done}/{part}" if done else part
    finally:
        os.close(root_fd)


def _make_one(root_fd: int, parent: str, name: str, mode: int, owner: tuple[int, int]) -> None:
    parent_fd = syscalls.openat2(root_fd, parent, os.O_PATH | os.O_DIRECTORY, resolve=_RESOLVE)
    try:
        os.mkdir(name, mode, dir_fd=parent_fd)
        if owner != (0, 0):
            os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
    except FileExistsError:
        pass
    finally:
        os.close(parent_fd)

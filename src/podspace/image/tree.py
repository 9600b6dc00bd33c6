"""A folder that is filled from names somebody else chose, and out of which no name leads.

Every step is relative to an open folder and follows no link on its own: symlinks are read and walked here, as if the folder were ``/``
(so ``..`` and absolute targets stay inside). A descriptor held across a hostile change still points into the folder.
Called by ``image.unpack`` only. Source: openat2(2); containerd's fs.RootPath has the same meaning.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from podspace.linux import syscalls, trees

Parts = tuple[str, ...]

_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_STRAIGHT = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # the kernel's own limit
OPAQUE = "trusted.overlay.opaque"


class Tree:
    """Use as a context manager. Folders that names imply but nobody described are made 0755 and remembered in ``implied``."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, _FOLDER)
        self._cached: tuple[Parts, Parts, int] | None = None
        self.implied: set[Parts] = set()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._forget()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def folder(self, parts: Parts, *, create: bool) -> tuple[int, Parts]:
        """Return an O_PATH descriptor of that folder and where it really is. It is valid until the next call. Raises: OSError."""
        if self._cached is not None and self._cached[0] == parts:
            return self._cached[2], self._cached[1]
        self._forget()
        real = parts
        try:
            fd = syscalls.openat2(self._root, "/".join(parts) or ".", _FOLDER, resolve=_STRAIGHT)
        except OSError:
            fd, real = self._walk(parts, create=create)
        self._cached = (parts, real, fd)
        return fd, real

    def _forget(self) -> None:
        if self._cached is not None:
            os.close(self._cached[2])
            self._cached = None

    def _walk(self, parts: Parts, *, create: bool) -> tuple[int, Parts]:
        todo, done, links = list(reversed(parts)), list[str](), 0
        fd = os.open(".", _FOLDER, dir_fd=self._root)
        try:
            while todo:
                part = todo.pop()
                if part in ("", "."):
                    continue
                target = None if part == ".." else self._step_target(fd, part, (*done, part), create=create)
                if part != ".." and target is None:
                    fd = _replace(fd, os.open(part, _FOLDER, dir_fd=fd))
                    done.append(part)
                    continue
                if target is not None:
                    links += 1
                    if links > _MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/".join(parts))
                    todo.extend(reversed(target.split("/")))
                done = [] if target is not None and target.startswith("/") else done[:-1] if part == ".." else done
                fd = _replace(fd, self._reopen(done))
            return fd, tuple(done)
        except BaseException:
            os.close(fd)
            raise

    def _step_target(self, fd: int, part: str, real: Parts, *, create: bool) -> str | None:
        """Return the target if ``part`` is a symlink; make it a folder if it is missing, or a whiteout that a folder now replaces."""
        there = look(fd, part)
        if there is not None and stat.S_ISLNK(there.st_mode):
            return os.readlink(part, dir_fd=fd)
        hidden = there is not None and is_whiteout(there)
        if create and hidden:
            os.unlink(part, dir_fd=fd)
        if create and (there is None or hidden):
            os.mkdir(part, 0o755, dir_fd=fd)
            os.chmod(part, 0o755, dir_fd=fd)  # whatever the umask
            self.implied.add(real)
            if hidden:
                mark_opaque(fd, part)
        return None

    def _reopen(self, done: Sequence[str]) -> int:
        fd = os.open(".", _FOLDER, dir_fd=self._root)
        try:
            for part in done:
                fd = _replace(fd, os.open(part, _FOLDER, dir_fd=fd))
        except BaseException:
            os.close(fd)
            raise
        return fd


def look(parent: int, name: str) -> os.stat_result | None:
    """Return what ``name`` is itself, None if there is nothing."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def remove(parent: int, name: str) -> None:
    """Remove whatever is there, folders with all they hold; no link is followed."""
    there = look(parent, name)
    if there is None:
        return
    if stat.S_ISDIR(there.st_mode):
        trees.remove(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)


def mark_opaque(parent: int, name: str) -> None:
    """Hide what lower layers have in that folder. Source: kernel Documentation/filesystems/overlayfs.rst."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.setxattr(fd, OPAQUE, b"y")
    finally:
        os.close(fd)


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new

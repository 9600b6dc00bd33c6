"""Deleting what somebody else made: trees of any depth and width, in bounded memory, with two descriptors, following no link.

shutil.rmtree recurses and holds a descriptor per level, so a container that nests folders a few thousand deep could never be removed.
Here folders are moved up to the top before they are emptied. Called by ``runtime``, ``node`` and ``image`` for containers' roots,
volumes and layers; blocks on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from podspace.linux import syscalls

_BATCH = 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IS_FOLDER = frozenset({errno.EISDIR, errno.EPERM})  # what unlink(2) says of one; POSIX has EPERM


def remove(path: Path | str, *, dir_fd: int | None = None) -> None:
    """Delete a folder with all it holds. Not there: fine. Raises: OSError, such as EBUSY or EXDEV for a mount in it."""
    try:
        top = os.open(path, _FOLDER, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    try:
        numbers = itertools.count()
        mark = f".removing-{secrets.token_hex(8)}-"
        with contextlib.suppress(FileNotFoundError):  # the folder itself, removed by somebody else meanwhile
            for entry in _entries(top):
                _remove_entry(top, entry, mark, numbers)
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path, dir_fd=dir_fd)


def remove_quietly(path: Path | str) -> None:
    """As ``remove``; what cannot be deleted stays."""
    with contextlib.suppress(OSError):
        remove(path)


def _entries(folder: int) -> Iterator[str]:
    """Names in a folder until it is empty; whoever asks for the next one has removed the last."""
    while True:
        with os.scandir(folder) as found:
            batch = [entry.name for entry in itertools.islice(found, _BATCH)]
        if not batch:
            return
        yield from batch


def _remove_entry(top: int, name: str, mark: str, numbers: Iterator[int]) -> None:
    if _unlinked(top, name):
        return
    with contextlib.suppress(FileNotFoundError):  # somebody else, who removes it too, was quicker
        folder = syscalls.openat2(top, name, _FOLDER, resolve=syscalls.RESOLVE_NO_XDEV)  # what is mounted there is not ours to delete
        try:
            for inner in _entries(folder):
                if not _unlinked(folder, inner):
                    _move_up(folder, inner, top, f"{mark}{next(numbers)}")
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)


def _move_up(folder: int, inner: str, top: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.rename(inner, name, src_dir_fd=folder, dst_dir_fd=top)


def _unlinked(folder: int, name: str) -> bool:
    """False for a folder."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _IS_FOLDER:
            raise
        return False
    return True

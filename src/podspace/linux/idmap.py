"""User namespaces by their mappings, and mounts that show files with the ids such a namespace sees.

On disk a file is root's; through an idmapped mount it is the host's user 131072, whom the namespace calls root. Nothing on disk changes,
and nobody outside of the mount notices. Called by ``runtime`` in threads; knows folders, not containers.
Source: user_namespaces(7), mount_setattr(2) (MOUNT_ATTR_IDMAP), open_tree(2), Documentation/filesystems/idmappings.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from podspace.linux import mounts, syscalls

NOBODY = 65534  # what an id shows as that has no mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """``length`` ids from ``inside`` are those from ``outside`` of the namespace above."""

    inside: int
    outside: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMap:
    """The mappings of a user namespace. Source: user_namespaces(7), uid_map."""

    uids: tuple[Range, ...]
    gids: tuple[Range, ...]

    def owner(self, uid: int = 0, gid: int = 0) -> tuple[int, int]:
        """Whom the host calls what the namespace calls ``uid`` and ``gid``. Raises: LookupError when it has no such."""
        return _outside(self.uids, uid), _outside(self.gids, gid)

    def shown(self, uid: int, gid: int) -> tuple[int, int]:
        """What the namespace calls the host's ``uid`` and ``gid``; the kernel's 65534 for what it does not have."""
        return _inside(self.uids, uid), _inside(self.gids, gid)


def _outside(ranges: Sequence[Range], number: int) -> int:
    for entry in ranges:
        if entry.inside <= number < entry.inside + entry.length:
            return entry.outside + number - entry.inside
    raise LookupError(number)


def _inside(ranges: Sequence[Range], number: int) -> int:
    for entry in ranges:
        if entry.outside <= number < entry.outside + entry.length:
            return entry.inside + number - entry.outside
    return NOBODY


_ALL = (Range(inside=0, outside=0, length=2**32 - 1),)
HOST = IdMap(uids=_ALL, gids=_ALL)  # where no user namespace was made


def parse(text: str) -> tuple[Range, ...]:
    """Lines of uid_map or gid_map."""
    numbers = ([int(word) for word in line.split()] for line in text.splitlines())
    return tuple(Range(inside=first, outside=second, length=length) for first, second, length in numbers)


def of_process(pid: int) -> IdMap:
    """The mappings a process lives in; the host's when it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        return IdMap(uids=parse((folder / "uid_map").read_text()), gids=parse((folder / "gid_map").read_text()))
    except OSError:
        return HOST


@contextlib.contextmanager
def namespace(wanted: IdMap) -> Iterator[int]:
    """A user namespace with these mappings, as a descriptor; it has no process in it. Raises: OSError, with what the kernel says.

    A process is needed to make one: cat(1), which says a word from inside, and ends with its input.
    """
    argv = ("unshare", "--user", "--", "cat")
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env={"PATH": os.defpath}
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(b".")
            child.stdin.flush()
        if child.stdout.read(1) != b".":
            raise OSError(errno.ENOSPC, "no user namespace can be made", "/proc/sys/user/max_user_namespaces")
        fd = _fill(child.pid, wanted)
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
    try:
        yield fd
    finally:
        os.close(fd)


def _fill(pid: int, wanted: IdMap) -> int:
    for name, ranges in (("uid_map", wanted.uids), ("gid_map", wanted.gids)):
        lines = "".join(f"{entry.inside} {entry.outside} {entry.length}\n" for entry in ranges)
        Path(f"/proc/{pid}/{name}").write_text(lines)
    return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


class Access(Enum):
    READ_WRITE = "read-write"
    READ_ONLY = "read-only"  # and what is mounted below as it is
    ALL_READ_ONLY = "read-only, all that is mounted below as well"


def attach(source: Path, target: Path, userns_fd: int | None, access: Access = Access.READ_WRITE, *, follow: bool = False) -> None:
    """Bind ``source`` with all that is mounted in it at ``target``, with the ids of a user namespace if one is given.

    ``follow``: what the host mounts in ``source`` later is seen. Never the other way round: where ``source`` is shared, what is unmounted
    below ``target`` would else be unmounted on the host. What is mounted below and cannot be shown with other ids keeps its own.
    Raises: OSError, EINVAL when ``source``'s file system cannot.
    """
    fd = syscalls.open_tree(str(source), syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
    try:
        propagation = syscalls.MS_SLAVE if follow else syscalls.MS_PRIVATE
        syscalls.mount_setattr(fd, propagation=propagation, recursive=True)
        if userns_fd is not None:
            _map(fd, source, userns_fd)
        if access is not Access.READ_WRITE:
            syscalls.mount_setattr(fd, attributes=syscalls.MOUNT_ATTR_RDONLY, recursive=access is Access.ALL_READ_ONLY)
        syscalls.move_mount(fd, str(target))
        syscalls.mount_setattr(fd, propagation=propagation, recursive=True)  # on a shared mount it has become shared itself
    finally:
        os.close(fd)


def _map(fd: int, source: Path, userns_fd: int) -> None:
    for recursive in (True, False):
        try:
            syscalls.mount_setattr(fd, attributes=syscalls.MOUNT_ATTR_IDMAP, userns_fd=userns_fd, recursive=recursive)
            return
        except OSError as error:
            if not recursive or error.errno != errno.EINVAL:
                raise OSError(error.errno, os.strerror(error.errno or 0), str(source)) from error


@contextlib.contextmanager
def layers(folders: Sequence[Path], scratch: Path, userns_fd: int | None) -> Iterator[Sequence[Path]]:
    """``folders`` as an overlay takes them for its layers: with other ids if a user namespace is given.

    They are attached below ``scratch`` only until the overlay is mounted: it then has mounts of its own of them.
    Raises: OSError, EINVAL when their file system cannot.
    """
    if userns_fd is None:
        yield folders
        return
    attached: list[Path] = []
    try:
        for number, folder in enumerate(folders):
            target = scratch / str(number)
            target.mkdir(parents=True, exist_ok=True)
            attach(folder, target, userns_fd, Access.READ_ONLY)
            attached.append(target)
        yield attached
    finally:
        for target in attached:
            mounts.unmount(target)

"""A container's file tree as its processes see it, mounts included, entered from outside and never left.

``Root`` is held open by descriptor; every path is resolved by the kernel as if that root were ours (openat2, RESOLVE_IN_ROOT), so no
symlink of a container leads out. Only plain files are ever opened for reading: a FIFO or device could hold us up, or do something.
Called by ``files`` and ``changes``. Source: openat2(2); proc_pid_root(5).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from podspace import errors
from podspace.lens import model, procdir
from podspace.linux import idmap, inroot

_RACES = 5  # openat2 gives EAGAIN while somebody renames above the path; a container can do that all day


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A name in the tree. ``path`` has no final slash; ``target`` is a symlink's, as written. ``uid``, ``gid``: as the container has it."""

    path: bytes
    status: os.stat_result
    uid: int
    gid: int
    target: bytes = b""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)


class Root:
    """``with Root(member) as root``.  Raises: FailedPrecondition when its process is gone."""

    def __init__(self, member: model.Member) -> None:
        self.member = member
        try:
            with procdir.ProcDir(member.pid) as process:
                if member.id and member.id.encode() not in process.read("cgroup"):
                    raise procdir.Gone(member.name)
                self.ids = idmap.of_process(member.pid)
                self.fd = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.fd)
        except (procdir.Gone, FileNotFoundError, ProcessLookupError) as error:
            raise errors.FailedPrecondition(f"container {member.name} has just ended") from error

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def find(self, path: str) -> int:
        """An O_PATH descriptor of what ``path`` leads to, symlinks followed inside.  Raises: NotFound, FailedPrecondition."""
        return self._open(path, os.O_PATH)

    def entry(self, path: str) -> Entry:
        """What ``path`` leads to."""
        fd = self.find(path)
        try:
            return _entry(self.ids, os.fsencode(path.rstrip("/") or "/"), os.fstat(fd))
        finally:
            os.close(fd)

    def open_file(self, path: str) -> int:
        """Open a plain file for reading.  Raises: NotFound, FailedPrecondition (a folder, FIFO, device, socket)."""
        handle = self.find(path)
        try:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                raise errors.FailedPrecondition(f"{path} in container {self.member.name} is {kind(mode)}, not a plain file")
            return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise self._refused(path, error) from error
        finally:
            os.close(handle)

    def walk(self, path: str, depth: int) -> Iterator[tuple[Entry, int]]:
        """What is below ``path`` down to ``depth`` levels, by name, as (entry, descriptor of its folder). Symlinks are not followed."""
        fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        yield from _walk(self.ids, fd, os.fsencode(path.rstrip("/")), depth)

    def _open(self, path: str, flags: int) -> int:
        if "\0" in path:
            raise errors.BadRequest("a path cannot hold a NUL")
        for attempt in range(_RACES):
            try:
                return inroot.open_at(self.fd, path or "/", flags)
            except OSError as error:
                if error.errno != errno.EAGAIN or attempt == _RACES - 1:
                    raise self._refused(path, error) from error
        raise AssertionError

    def _refused(self, path: str, error: OSError) -> errors.PodspaceError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return errors.NotFound(f"{path} in container {self.member.name}: {os.strerror(error.errno)}")
        words = os.strerror(error.errno) if error.errno else str(error)
        return errors.FailedPrecondition(f"{path} in container {self.member.name}: {words}")


def _entry(ids: idmap.IdMap, path: bytes, status: os.stat_result, target: bytes = b"") -> Entry:
    uid, gid = ids.shown(status.st_uid, status.st_gid)
    return Entry(path=path, status=status, uid=uid, gid=gid, target=target)


def _walk(ids: idmap.IdMap, fd: int, path: bytes, depth: int) -> Iterator[tuple[Entry, int]]:
    """Takes the descriptor over. Folders are entered by descriptor and without following: a swap for a symlink leads nowhere."""
    try:
        for name in sorted(os.fsencode(name) for name in os.listdir(fd)):
            try:
                found = _entry(ids, path + b"/" + name, os.stat(name, dir_fd=fd, follow_symlinks=False), _target(name, fd))
            except OSError:  # gone meanwhile, or a file system that fails
                continue
            yield found, fd
            if found.is_folder and depth > 1:
                try:
                    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                except OSError:
                    continue
                yield from _walk(ids, child, path + b"/" + name, depth - 1)
    finally:
        os.close(fd)


def _target(name: bytes, fd: int) -> bytes:
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        return b""


def kind(mode: int) -> str:
    """In words: ``a folder``."""
    words = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symlink",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return words.get(stat.S_IFMT(mode), "something else")

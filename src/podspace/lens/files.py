"""Files of a container: lists, contents, archives. Called by ``service`` in threads; ``tree`` does the walking.

What is read is bounded: a list ends at ``LIMIT`` entries and says so; contents come in chunks, each read when the last is delivered.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator, Mapping
from pathlib import Path

from podspace import errors
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.lens import model, processes, safetext, tree
from podspace.linux import inroot
from podspace.oci import users

LIMIT = 20_000
CHUNK_BYTES = 1 << 18
_BLOCK_BYTES = 512
_DEEPEST = 64


def listing(member: model.Member, path: str, *, depth: int) -> JSON:
    """``PodFiles``' status: the folder's entries down to ``depth`` levels, or the one file.  Raises: NotFound, FailedPrecondition."""
    names, groups = processes.user_names(member.pid), _group_names(member.pid)
    with tree.Root(member) as root:
        top = root.entry(path)
        if not top.is_folder:
            return {"path": path, "entries": [shown(top, names, groups)], "truncated": False}
        entries: list[JSON] = []
        truncated = False
        for entry, _ in root.walk(path, min(max(depth, 1), _DEEPEST)):
            if len(entries) >= LIMIT:
                truncated = True
                break
            entries.append(shown(entry, names, groups))
    return {"path": path, "entries": entries, "truncated": truncated}


def shown(entry: tree.Entry, names: Mapping[int, str], groups: Mapping[int, str]) -> JSON:
    """An entry as JSON; names are those of the container's own passwd and group."""
    status = entry.status
    found: JSON = {
        "path": safetext.decoded(entry.path),
        "mode": stat.filemode(status.st_mode),
        "user": names.get(entry.uid, str(entry.uid)),
        "group": groups.get(entry.gid, str(entry.gid)),
        "uid": entry.uid,
        "gid": entry.gid,
        "size": status.st_size,
        "modified": times.rfc3339(max(status.st_mtime, 0)),
    }
    if stat.S_ISLNK(status.st_mode):
        found["target"] = safetext.decoded(entry.target)
    return found


def _group_names(pid: int) -> dict[int, str]:
    text = inroot.read_text(Path(f"/proc/{pid}/root"), "/etc/group", limit_bytes=1 << 20)
    names: dict[int, str] = {}
    for name, number, _ in users.groups(text):
        names.setdefault(number, name)
    return names


def content(member: model.Member, path: str) -> Generator[bytes, None, None]:
    """A plain file in chunks; what goes wrong is raised before the first.  Raises: NotFound, FailedPrecondition."""
    with tree.Root(member) as root:
        fd = root.open_file(path)
    return _chunks(fd)


def _chunks(fd: int) -> Generator[bytes, None, None]:
    try:
        while chunk := _read(fd, CHUNK_BYTES):
            yield chunk
    finally:
        os.close(fd)


def _read(fd: int, count: int) -> bytes:
    try:
        return os.read(fd, count)
    except BlockingIOError:  # files of /proc that wait for news
        return b""
    except OSError as error:
        raise errors.FailedPrecondition(f"reading stopped: {error.strerror}") from error


def archive(member: model.Member, path: str) -> Generator[bytes, None, None]:
    """A tar of a file or folder, without tar in the image. Names are paths without the first slash.  Raises: NotFound."""
    with tree.Root(member) as root:
        top = root.entry(path)
        if not top.is_folder and not top.is_file:
            raise errors.FailedPrecondition(f"{path} in container {member.name} is {tree.kind(top.status.st_mode)}")
    return _archive(member, path, top)


def _archive(member: model.Member, path: str, top: tree.Entry) -> Generator[bytes, None, None]:
    with tree.Root(member) as root:
        if top.is_file:
            yield from _file_member(root.open_file(path), top)
        else:
            yield _header(top, 0)
            for entry, folder in root.walk(path, _DEEPEST):
                if entry.is_file:
                    name = entry.path.rpartition(b"/")[2]
                    try:
                        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
                    except OSError:
                        continue
                    yield from _file_member(fd, entry)
                elif entry.is_folder or entry.target:
                    yield _header(entry, 0)
    yield bytes(2 * _BLOCK_BYTES)


def _file_member(fd: int, entry: tree.Entry) -> Generator[bytes, None, None]:
    """Exactly as many bytes as the header says, whatever happens to the file meanwhile."""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return
        left = status.st_size
        yield _header(entry, left)
        padding = -left % _BLOCK_BYTES
        while left:
            chunk = _read(fd, min(left, CHUNK_BYTES)) or bytes(min(left, CHUNK_BYTES))
            yield chunk
            left -= len(chunk)
        if padding:
            yield bytes(padding)
    finally:
        os.close(fd)


def _header(entry: tree.Entry, size: int) -> bytes:
    info = tarfile.TarInfo(os.fsdecode(entry.path).lstrip("/") or ".")
    info.mode = stat.S_IMODE(entry.status.st_mode)
    info.uid, info.gid, info.mtime, info.size = entry.uid, entry.gid, int(entry.status.st_mtime), size
    if entry.is_folder:
        info.type = tarfile.DIRTYPE
    elif entry.target:
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(entry.target)
    return info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")

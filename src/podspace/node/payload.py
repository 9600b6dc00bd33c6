"""Write a set of files so that a reader sees all of the old ones or all of the new ones.

The files live in a folder named by time, ``..data`` is a symlink to it, each visible name a symlink through ``..data``; replacing
``..data`` by rename(2) is the switch. Source: kubelet pkg/volume/util/atomic_writer.go; programs that reload their
configuration (fsnotify on ``..data``) rely on this layout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

DATA = "..data"
Mode = Callable[[int, bool], int]  # (mode, whether of a folder) -> the mode it gets


class File(NamedTuple):
    """``owner`` None: the server's own user, root."""

    content: bytes
    mode: int
    owner: int | None = None


def as_given(mode: int, folder: bool) -> int:
    """No mode is changed."""
    return mode


def write(folder: Path, files: Mapping[str, File], *, group: int | None = None, mode: Mode = as_given) -> bool:
    """Make ``folder`` show exactly ``files`` (relative path -> content); return whether anything changed.

    ``group``: whose everything becomes; None = root's. A crash at any point leaves the old files or the new ones, and later calls tidy up.
    """
    wanted = {name: file._replace(mode=mode(file.mode, False)) for name, file in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    _own(folder, mode(0o777, True) | (folder.stat().st_mode & stat.S_ISVTX), None, group)  # a tmpfs is sticky, and stays so
    current = folder / DATA
    if current.is_symlink() and _same(current, wanted):
        return False
    fresh = _write_generation(folder, wanted, group, mode(0o755, True))
    temporary = folder / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.rename(current)
    _link_names(folder, wanted)
    for stale in folder.glob("..2*"):  # the previous one, and what a crash left half written
        if stale.name != fresh.name:
            shutil.rmtree(stale, ignore_errors=True)
    return True


def _write_generation(folder: Path, files: Mapping[str, File], group: int | None, folder_mode: int) -> Path:
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime())
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=folder))
    _own(fresh, folder_mode, None, group)
    for name, file in files.items():
        path = fresh / name
        for missing in reversed([parent for parent in path.parents if fresh in parent.parents and not parent.exists()]):
            missing.mkdir()
            _own(missing, folder_mode, None, group)
        path.write_bytes(file.content)
        _own(path, file.mode, file.owner, group)
    return fresh


def _own(path: Path, mode: int, owner: int | None, group: int | None) -> None:
    if owner is not None or group is not None:
        os.chown(path, -1 if owner is None else owner, -1 if group is None else group)  # first: it takes setgid away
    os.chmod(path, mode)


def _same(current: Path, files: Mapping[str, File]) -> bool:
    found = {str(path.relative_to(current)): path for path in current.rglob("*") if path.is_file()}
    if found.keys() != files.keys():
        return False
    return all(_is(path, files[name]) for name, path in found.items())


def _is(path: Path, file: File) -> bool:
    status = path.stat()
    owned = file.owner is None or status.st_uid == file.owner
    return owned and status.st_mode & 0o777 == file.mode and path.read_bytes() == file.content


def _link_names(folder: Path, files: Mapping[str, File]) -> None:
    wanted = {Path(name).parts[0] for name in files}
    for name in wanted:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path(DATA) / name)
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            with contextlib.suppress(OSError):
                entry.unlink()

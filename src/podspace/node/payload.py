"""Write a set of files so that a reader sees all of the old ones or all of the new ones.

The files live in a folder named by time, ``..data`` is a symlink to it, each visible name a symlink through ``..data``; replacing
``..data`` by rename(2) is the switch. Source: kubelet pkg/volume/util/atomic_writer.go; programs that reload their
configuration (fsnotify on ``..data``) rely on this layout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

DATA = "..data"


class File(NamedTuple):
    content: bytes
    mode: int


def write(folder: Path, files: Mapping[str, File]) -> bool:
    """Make ``folder`` show exactly ``files`` (relative path -> content); return whether anything changed."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o777)
    current = folder / DATA
    if current.is_symlink() and _same(current, files):
        return False
    fresh = _write_generation(folder, files)
    previous = os.readlink(current) if current.is_symlink() else None
    temporary = folder / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.rename(current)
    _link_names(folder, files)
    if previous:
        shutil.rmtree(folder / previous, ignore_errors=True)
    return True


def _write_generation(folder: Path, files: Mapping[str, File]) -> Path:
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime())
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=folder))
    os.chmod(fresh, 0o755)
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        os.chmod(path, file.mode)
    return fresh


def _same(current: Path, files: Mapping[str, File]) -> bool:
    found = {str(path.relative_to(current)): path for path in current.rglob("*") if path.is_file()}
    if found.keys() != files.keys():
        return False
    return all(path.read_bytes() == files[name].content and path.stat().st_mode & 0o777 == files[name].mode for name, path in found.items())


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

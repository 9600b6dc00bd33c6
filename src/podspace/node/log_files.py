"""The files of one container's log: ``0.log`` that is written, and what was rotated away: ``0.log.20260102-150405``, later with ``.gz``.

As a kubelet names and keeps them; log shippers know it. Called by ``log_rotation`` and by whoever removes a container.
Source: kubelet pkg/kubelet/logs/container_log_manager.go.
"""

from __future__ import annotations

import gzip
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

_GZ, _TMP = ".gz", ".tmp"
_GZIP_WBITS = 31  # zlib.compressobj: with gzip's header
_CHUNK_BYTES = 1 << 20
_STAMP = "%Y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do before a log is renamed."""

    remove: tuple[str, ...] = ()
    compress: tuple[str, ...] = ()


def plan(rotated: list[str], *, max_files: int) -> Plan:
    """``rotated``: names, in any order; ``max_files`` counts the one that is written and the one about to be made. Pure.

    What a compression that was cut short left behind goes first: its source is still there.
    """
    unfinished = [name for name in rotated if name.endswith(_TMP)]
    done = {name.removesuffix(_GZ) for name in rotated if name.endswith(_GZ)}
    twice = [name for name in rotated if name in done]
    kept = sorted(set(rotated) - set(unfinished) - set(twice), key=lambda name: name.removesuffix(_GZ))
    excess = kept[: max(0, len(kept) - max(0, max_files - 2))]
    compressed = (name for name in kept if name not in excess and not name.endswith(_GZ))
    return Plan(remove=(*unfinished, *twice, *excess), compress=tuple(compressed))


def rotated(log: Path) -> list[str]:
    """Names of what was rotated away from a log."""
    try:
        return [entry.name for entry in os.scandir(log.parent) if entry.name.startswith(f"{log.name}.")]
    except FileNotFoundError:
        return []


def tidy(log: Path, *, max_files: int) -> None:
    """Do what ``plan`` says. Blocks on the disk. Raises: OSError."""
    wanted = plan(rotated(log), max_files=max_files)
    for name in wanted.remove:
        (log.parent / name).unlink(missing_ok=True)
    for name in wanted.compress:
        compress(log.parent / name)


def compress(path: Path) -> None:
    """Replace a file by its ``.gz``; one of the two is whole at any moment."""
    from isal import isal_zlib  # several times as fast as zlib

    unfinished = path.with_name(path.name + _GZ + _TMP)
    compressor = isal_zlib.compressobj(wbits=_GZIP_WBITS)
    with path.open("rb") as source, unfinished.open("wb") as target:
        while data := source.read(_CHUNK_BYTES):
            target.write(compressor.compress(data))
        target.write(compressor.flush())
    os.replace(unfinished, path.with_name(path.name + _GZ))
    path.unlink()


def set_aside(log: Path) -> Path:
    """Rename a log; return what it is called now. Raises: OSError."""
    name = log.with_name(f"{log.name}.{time.strftime(_STAMP)}")
    if name.exists() or name.with_name(name.name + _GZ).exists():  # twice in one second
        name = log.with_name(f"{name.name}-{time.time_ns() % 10**9:09d}")
    os.rename(log, name)
    return name


def successor(log: Path, name: str) -> Path | None:
    """The file that goes on where the one of this name ends; None for the one that is written."""
    if name == log.name:
        return None
    present = set(rotated(log))
    later = sorted(stem for stem in {one.removesuffix(_GZ) for one in present if not one.endswith(_TMP)} if stem > name)
    if not later:
        return log
    return log.with_name(later[0] if later[0] in present else later[0] + _GZ)


def name_of(file: BinaryIO) -> str:
    """What an open file is called now, or was last. One that was compressed is called what it was before."""
    if isinstance(file, gzip.GzipFile):
        return os.path.basename(str(file.name)).removesuffix(_GZ)
    return os.path.basename(os.readlink(f"/proc/self/fd/{file.fileno()}")).removesuffix(" (deleted)")


def open_log(path: Path) -> BinaryIO:
    """Open a log to read, compressed or not. Raises: FileNotFoundError."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == _GZ else path.open("rb")


def remove(log: Path) -> None:
    """Delete a log and what was rotated away from it."""
    for name in (log.name, *rotated(log)):
        (log.parent / name).unlink(missing_ok=True)

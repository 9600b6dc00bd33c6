"""inotify for asyncio: learn of changes to files without looking again and again.

Called by whoever follows a log or waits for a file. Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from podspace.aio import fds

IN_MODIFY = 0x00000002
IN_CLOSE_WRITE = 0x00000008
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_DELETE_SELF = 0x00000400
IN_MOVE_SELF = 0x00000800
IN_Q_OVERFLOW = 0x00004000
IN_IGNORED = 0x00008000

_HEADER = struct.Struct("iIII")
_BUFFER_BYTES = 16 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``watch`` is what ``Inotify.add`` returned; ``name`` is "" for the watched file itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify instance. Use as a context manager; ``read`` waits."""

    def __init__(self) -> None:
        self.fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify_init1")

    def __enter__(self) -> Inotify:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def add(self, path: Path, mask: int) -> int:
        """Watch a file or folder. Raises: OSError."""
        watch: int = _libc.inotify_add_watch(self.fd, os.fsencode(path), ctypes.c_uint32(mask))
        if watch < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        return watch

    def remove(self, watch: int) -> None:
        """Stop watching; a watch that is gone already is none."""
        _libc.inotify_rm_watch(self.fd, watch)

    async def read(self) -> list[Change]:
        """Wait for the next changes."""
        return parse(await fds.read(self.fd, _BUFFER_BYTES))


def parse(raw: bytes) -> list[Change]:
    """Split what the kernel returned into changes."""
    changes = []
    offset = 0
    while offset < len(raw):
        watch, mask, _, length = _HEADER.unpack_from(raw, offset)
        offset += _HEADER.size
        name = os.fsdecode(raw[offset : offset + length].rstrip(b"\0"))
        offset += length
        changes.append(Change(watch=watch, mask=mask, name=name))
    return changes

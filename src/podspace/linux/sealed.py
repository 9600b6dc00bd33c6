"""Copies of programs in memory that nobody can change, to be run from there.

A program that enters a container can be reached from inside by /proc/<pid>/exe: what is found there must not be the machine's own file.
Called by ``oci`` and ``lens``. Source: memfd_create(2), fcntl(2) (file sealing); CVE-2019-5736.
"""

from __future__ import annotations

import fcntl
import os

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_MFD_EXEC = 0x10  # since Linux 6.3; there vm.memfd_noexec may demand it
_AT_ONCE_BYTES = 1 << 24


def copy(path: str) -> int:
    """Return a close-on-exec descriptor of the copy; run it as /proc/<our pid>/fd/<number>. Raises: OSError."""
    fd = _memory_file(os.path.basename(path))
    try:
        with open(path, "rb") as source:
            while os.sendfile(fd, source.fileno(), None, _AT_ONCE_BYTES):
                pass
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memory_file(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError:  # an older kernel knows no such flag, and all such files can be run
        return os.memfd_create(name, flags)

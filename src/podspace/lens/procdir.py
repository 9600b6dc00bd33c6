"""One process's folder in /proc, held open: whatever is read through it is of that process, even if its number comes round again.

``ProcPath`` reads the same by number, for who reads at once: it spares two system calls in five.

Called by ``processes``, ``signals`` and ``files``. A process that is gone, or a zombie for what a zombie lacks, raises ``Gone``.
Source: proc(5): a descriptor of /proc/<pid> gives ESRCH once the process is gone.
"""

from __future__ import annotations

import os

ARGUMENT_BYTES = 32 << 10  # of a longer command line only the beginning is shown
_GONE = (FileNotFoundError, ProcessLookupError, NotADirectoryError)


class Gone(Exception):
    """There is no such process, or it has no such file any more."""


class ProcPath:
    """A process by its number: what is read is of whoever has it at that moment."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder: int | None = None
        self._prefix = f"/proc/{pid}/"

    def owner(self) -> tuple[int, int]:
        """Effective uid and gid.  Raises: Gone."""
        try:
            status = os.stat(self._prefix if self._folder is None else self._folder)
        except _GONE as error:
            raise Gone(str(self.pid)) from error
        return status.st_uid, status.st_gid

    def read(self, name: str, limit_bytes: int = 1 << 16) -> bytes:
        """Raises: Gone, OSError when the kernel refuses."""
        try:
            fd = os.open(self._prefix + name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                data = os.read(fd, limit_bytes)
                while len(data) < limit_bytes and (more := os.read(fd, limit_bytes - len(data))):
                    data += more
            finally:
                os.close(fd)
        except _GONE as error:
            raise Gone(f"{self.pid}/{name}") from error
        return data

    def read_once(self, name: str, limit_bytes: int = 1 << 13) -> bytes:
        """``read`` for a file the kernel gives as a whole (stat, status, cmdline): half the system calls.  Raises: Gone, OSError."""
        try:
            fd = os.open(self._prefix + name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                return os.read(fd, limit_bytes)
            finally:
                os.close(fd)
        except _GONE as error:
            raise Gone(f"{self.pid}/{name}") from error

    def link(self, name: str) -> str:
        """Raises: Gone, OSError."""
        try:
            return os.readlink(self._prefix + name, dir_fd=self._folder)
        except _GONE as error:
            raise Gone(f"{self.pid}/{name}") from error

    def names(self, name: str) -> list[str]:
        """Of a folder in it. Raises: Gone, OSError."""
        try:
            fd = os.open(self._prefix + name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                return os.listdir(fd)
            finally:
                os.close(fd)
        except _GONE as error:
            raise Gone(f"{self.pid}/{name}") from error


class ProcDir(ProcPath):
    """``with ProcDir(pid) as process``. Raises: Gone."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        try:
            self.fd = os.open(self._prefix, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except _GONE as error:
            raise Gone(str(pid)) from error
        self._folder, self._prefix = self.fd, ""

    def __enter__(self) -> ProcDir:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

"""Drive a program that wants a terminal: type, wait for a prompt, read the screen. For the demo and for tests of ``attach -it``."""

from __future__ import annotations

import errno
import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_UNFINISHED = re.compile(rb"(?:\r|\x1b(?:\[[0-9;?]*)?)\Z")


class Terminal:
    """A child on a pseudo terminal of our own. Use in a ``with`` block."""

    def __init__(self, argv: Sequence[str], *, environment: Mapping[str, str], columns: int = 120, rows: int = 40) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], list(argv), dict(environment))
        self.resize(columns, rows)
        self.screen = ""
        self._cut = b""  # the beginning of what is replaced as a whole, at the end of what has been read

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.fd)  # the child gets SIGHUP
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._reaped(2.0):
                return
            os.kill(self.pid, number)
        os.waitpid(self.pid, 0)

    def resize(self, columns: int, rows: int) -> None:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def read_until(self, pattern: str, *, seconds: float = 60.0) -> str:
        """Return what appeared up to and including ``pattern`` (a regex), without escape sequences.  Raises: TimeoutError, EOFError."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.screen)):
            self._read(deadline, pattern)
        text, self.screen = self.screen[: match.end()], self.screen[match.end() :]
        return text

    def wait_exit(self, *, seconds: float = 60.0) -> int:
        """Wait for the program to end by itself; return its exit status.  Raises: TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._read(deadline, "end of program")
            except EOFError:
                _, status = os.waitpid(self.pid, 0)
                self.pid = -1
                return os.waitstatus_to_exitcode(status)

    def _read(self, deadline: float, wanted: str) -> None:
        readable, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError(f"waited for {wanted!r}; the screen shows: {self.screen!r}")
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            raise EOFError(f"program ended; the screen shows: {self.screen!r}")
        whole, self._cut = _cut(self._cut + data)
        self.screen += _ESCAPES.sub("", whole.decode(errors="replace")).replace("\r\n", "\n")

    def _reaped(self, seconds: float) -> bool:
        if self.pid < 0:
            return True
        fd = os.pidfd_open(self.pid)
        try:
            if not select.select([fd], [], [], seconds)[0]:
                return False
        finally:
            os.close(fd)
        os.waitpid(self.pid, 0)
        return True


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Without a line end or an escape sequence that is not complete yet, and that."""
    match = _UNFINISHED.search(data)
    at = match.start() if match else len(data)
    return data[:at], data[at:]

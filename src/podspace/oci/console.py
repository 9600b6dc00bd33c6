"""The socket on which an OCI runtime hands over the terminal it made. Source: runc docs/terminals.md; unix(7) SCM_RIGHTS."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import struct
import termios
from pathlib import Path

from podspace.aio import fds


class ConsoleSocket:
    """Listens at a path for one terminal. Use as a context manager; the socket's file is removed at the end.

    A path may be too long for a socket's name: start the program in ``cwd`` and give it ``argument``.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / name
        self._folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.bind(f"/proc/self/fd/{self._folder_fd}/{name}")
        self._socket.listen(1)

    @property
    def argument(self) -> str:
        """What to pass as ``--console-socket``: a name relative to ``cwd`` when the full path is over sun_path's 107 bytes."""
        return str(self._file) if len(os.fsencode(self._file)) < 108 else f"./{self._file.name}"

    @property
    def cwd(self) -> str:
        """The folder the program must be started in."""
        return str(self._file.parent)

    def __enter__(self) -> ConsoleSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        os.close(self._folder_fd)
        self._file.unlink(missing_ok=True)

    async def receive(self) -> int:
        """Wait for the terminal; return its descriptor, non-blocking and close-on-exec. Raises: ConnectionError."""
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._socket)
        with connection:
            await fds.readable(connection.fileno())
            _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("i")), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(data[: received.itemsize])
                os.set_blocking(received[0], False)
                return received[0]
        raise ConnectionError("the OCI runtime sent no terminal")


def set_size(fd: int, *, width: int, height: int) -> None:
    """ioctl_tty(2) TIOCSWINSZ: the foreground processes get SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def use_crlf(fd: int) -> None:
    """Let the terminal send CR LF for LF, as every other front end of Kubernetes does (ONLCR)."""
    attributes = termios.tcgetattr(fd)
    attributes[1] |= termios.ONLCR
    termios.tcsetattr(fd, termios.TCSANOW, attributes)

"""What one remote command looks like to whoever runs it, whatever protocol brought it here.

``api`` and ``cri`` make a ``Streams`` of a WebSocket or a SPDY connection; ``runtime`` reads and writes it. Neither knows
the other. A dropped client shows as ``ConnectionResetError`` from any method, and as ``disconnected`` for those that wait elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol


class TerminalSize(NamedTuple):
    """Columns and rows, as the client's terminal has them (ioctl_tty(2) TIOCSWINSZ)."""

    width: int
    height: int


class Streams(Protocol):
    """The client's side of exec and attach.

    ``stdin``, ``stdout``, ``stderr`` tell which streams the client asked for; ``tty`` that stdout carries a terminal
    (then there is no stderr and resizes may come).
    """

    tty: bool
    stdin: bool
    stdout: bool
    stderr: bool
    disconnected: asyncio.Event

    async def read_stdin(self) -> bytes:
        """Return the next bytes, ``b""`` for ever once the client has closed its end. Never more than about 64 KiB."""

    async def write_stdout(self, data: bytes | memoryview) -> None:
        """Send, and wait while the client is slower than we are. A stream that was not asked for is dropped."""

    async def write_stderr(self, data: bytes | memoryview) -> None:
        """As ``write_stdout``."""

    async def next_resize(self) -> TerminalSize:
        """Wait for the next size of the client's terminal; for ever if it sends none."""

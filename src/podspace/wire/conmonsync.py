"""What conmon says and hears: the sync pipe, the attach socket and the ctl fifo.

Used by ``oci`` (which opens the pipes and sockets). It must not know containers.   Source: conmon 2.1, src/parent_pipe_fd.c,
conn_sock.c, ctr_stdio.c, ctrl.c; the behaviours below were read there:

- Sync pipe (``_OCI_SYNCPIPE``): one JSON line each. ``create``: the pid, or a negative number and the OCI runtime's words. ``exec`` with
  ``--api-version 1``: the pid, and when all is over the exit code (-1 and "command timed out" after ``--timeout``).
- Attach socket (SOCK_SEQPACKET): each packet from conmon is a byte for the stream and at most 8192 bytes of output. Packets to conmon are
  stdin; what is over 32768 bytes in one packet is lost. Shutting down the writing side ends the container's stdin unless conmon has
  ``--leave-stdin-open``. conmon writes to every attached client in turn and waits for each: one that does not read stops the container.
- ctl fifo: lines of three numbers. More than 1000 rows or columns are refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from podspace.wire.protocol import ProtocolError
from podspace.wire.streams import TerminalSize

MAX_STDIN_PACKET_BYTES = 32768
MAX_OUTPUT_PACKET_BYTES = 8193
MAX_TERMINAL_CELLS = 1000
MAX_SYNC_LINE_BYTES = 64 * 1024  # conmon reads at most 8 KiB of a runtime's stderr, escaping can grow it sixfold


class Pipe(IntEnum):
    """First byte of a packet from the attach socket."""

    STDOUT = 2
    STDERR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """One line of the sync pipe. ``value`` is a pid, an exit code, or negative for a failure that ``message`` explains."""

    value: int
    message: str = ""


class SyncDecoder:
    """Lines from the sync pipe, in pieces of any size."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Sync]:
        """Return the messages that ``data`` completes.  Raises: ProtocolError."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > MAX_SYNC_LINE_BYTES:
            raise ProtocolError("conmon: a line without end on the sync pipe")
        return [parse_sync(line) for line in lines if line.strip()]

    @property
    def incomplete(self) -> bool:
        """Whether conmon died in the middle of a line."""
        return bool(self._pending.strip())


def parse_sync(line: bytes) -> Sync:
    """Read one line.  Raises: ProtocolError."""
    try:
        # strict=False: conmon does not escape every control character of a runtime's message.
        parsed = json.loads(line.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"conmon: not JSON on the sync pipe: {line[:200]!r}") from error
    values = [parsed[key] for key in ("data", "pid", "exit_code") if key in parsed] if isinstance(parsed, dict) else []
    if not values or type(values[0]) is not int:
        raise ProtocolError(f"conmon: no number on the sync pipe: {line[:200]!r}")
    return Sync(value=values[0], message=str(parsed.get("message") or ""))


def parse_output(packet: bytes) -> tuple[Pipe, memoryview] | None:
    """Split a packet of the attach socket; None for an empty packet, which is the end.  Raises: ProtocolError (an unknown stream)."""
    if not packet:
        return None
    if packet[0] not in (Pipe.STDOUT, Pipe.STDERR):
        raise ProtocolError(f"conmon: unknown stream {packet[0]} on the attach socket")
    return Pipe(packet[0]), memoryview(packet)[1:]


def stdin_packets(data: bytes) -> list[memoryview]:
    """Cut stdin into packets that conmon takes whole."""
    view = memoryview(data)
    return [view[start : start + MAX_STDIN_PACKET_BYTES] for start in range(0, len(view), MAX_STDIN_PACKET_BYTES)]


def resize_line(size: TerminalSize) -> bytes:
    """The line for the ctl fifo that resizes the terminal. Numbers conmon would refuse are clipped."""
    height, width = (max(0, min(number, MAX_TERMINAL_CELLS)) for number in (size.height, size.width))
    return b"1 %d %d\n" % (height, width)


def reopen_log_line() -> bytes:
    """The line for the ctl fifo that makes conmon open its log file anew, after it was renamed."""
    return b"2 0 0\n"

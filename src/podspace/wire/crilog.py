"""The CRI log format: ``2016-10-06T00:17:09.669794202Z stdout F a line``, one record a line, ``P`` for a line that goes on.

Used by whoever reads container logs (``runtime``), and by tests that write some. Files are handed in open; opening, following and
rotating them is the caller's. It must not know containers nor HTTP.   Source: KEP kubelet-cri-logging; kubelet's reader for the details.
"""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from podspace.wire.logoptions import LogOptions

_BLOCK_BYTES = 64 * 1024
_NANOS = 1_000_000_000
MAX_LINE_BYTES = 1024 * 1024  # conmon cuts at 8 KiB, containerd at 16 KiB: a longer record is no record


class Record(NamedTuple):
    """One line of the file. ``content`` is without the final newline; ``timestamp`` as a kubelet prints it."""

    nanos: int
    timestamp: bytes
    stream: bytes
    partial: bool
    content: bytes


class _Clock:
    """RFC 3339 to Unix nanoseconds; the second last seen is kept, because neighbours in a log share it."""

    def __init__(self) -> None:
        self._second = b""
        self._zone = b""
        self._nanos = 0

    def parse(self, text: bytes) -> int:
        """Raises: ValueError."""
        second, rest = text[:19], text[19:]
        digits = 0
        if rest[:1] == b".":
            digits = len(rest) - len(rest[1:].lstrip(b"0123456789"))
        fraction, zone = rest[1:digits], rest[digits:]
        if second != self._second or zone != self._zone:
            self._nanos = _seconds(second, zone) * _NANOS
            self._second, self._zone = second, zone
        return self._nanos + (int(fraction[:9].ljust(9, b"0")) if fraction else 0)


def _seconds(second: bytes, zone: bytes) -> int:
    text = second.decode("ascii")
    if len(text) != 19 or (text[4], text[7], text[10], text[13], text[16]) != ("-", "-", "T", ":", ":"):
        raise ValueError(text)
    year, month, day, hour, minute, sec = (int(text[a:b]) for a, b in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)))
    if not 1 <= month <= 12:
        raise ValueError(text)
    return calendar.timegm((year, month, day, hour, minute, sec)) - _offset_seconds(zone.decode("ascii"))


def _offset_seconds(zone: str) -> int:
    if zone == "Z":
        return 0
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":":
        raise ValueError(zone)
    seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return -seconds if zone[0] == "-" else seconds


def _printed(timestamp: bytes) -> bytes:
    """As Go prints it, with nine digits: conmon writes ``+00:00`` where Go writes ``Z``."""
    if len(timestamp) == 30:  # nine digits and Z
        return timestamp
    rest = timestamp[20:]  # after the point, if there is one
    zone = rest.lstrip(b"0123456789") if timestamp[19:20] == b"." else timestamp[19:]
    fraction = rest[: len(rest) - len(zone)][:9] if timestamp[19:20] == b"." else b""
    return timestamp[:19] + b"." + fraction.ljust(9, b"0") + (b"Z" if zone in (b"+00:00", b"-00:00") else zone)


def parse(line: bytes, clock: _Clock | None = None) -> Record | None:
    """Read one line, with or without its newline; None if it is not of this format (a kubelet skips such lines)."""
    parts = line.removesuffix(b"\n").split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    try:
        nanos = (clock or _Clock()).parse(parts[0])
    except ValueError:
        return None
    partial = parts[2].split(b":", 1)[0] == b"P"
    return Record(nanos, _printed(parts[0]), parts[1], partial, parts[3])


def format_record(nanos: int, stream: str, content: bytes, *, partial: bool = False) -> bytes:
    """Write one line; ``content`` without newline, ``nanos`` since the epoch."""
    seconds, fraction = divmod(nanos, _NANOS)
    year, month, day, hour, minute, second = _utc(seconds)
    stamp = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z"
    return b"%s %s %s %s\n" % (stamp.encode(), stream.encode(), b"P" if partial else b"F", content)


def _utc(seconds: int) -> tuple[int, ...]:
    return tuple(time.gmtime(seconds)[:6])


class Renderer:
    """Turns the file's bytes into what the client of ``kubectl logs`` sees. Fed in order, in pieces of any size."""

    def __init__(
        self, *, timestamps: bool = False, since_nanos: int | None = None, limit_bytes: int | None = None, stream: str = ""
    ) -> None:
        self._timestamps = timestamps
        self._since_nanos = since_nanos
        self._left = limit_bytes
        self._stream = stream.encode()
        self._clock = _Clock()
        self._pending = b""
        self._at_line_start = True

    @classmethod
    def of(cls, options: LogOptions, *, now: float) -> Renderer:
        """For a client's options. ``now``: Unix seconds, what ``since_seconds`` counts back from. ``tail_lines`` is ``tail_offset``'s."""
        since = now - options.since_seconds if options.since_seconds is not None else options.since_time
        nanos = None if since is None else round(since * _NANOS)
        return cls(timestamps=options.timestamps, since_nanos=nanos, limit_bytes=options.limit_bytes)

    @property
    def done(self) -> bool:
        """Whether ``limit_bytes`` is reached: nothing more will come."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """Return the text of the records that ``data`` completes."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > MAX_LINE_BYTES:
            self._pending = b""
        out: list[bytes] = []
        for line in lines:
            self._render(line, out)
        return self._limit(b"".join(out))

    def _render(self, line: bytes, out: list[bytes]) -> None:
        record = parse(line, self._clock)
        if record is None or (self._stream and record.stream != self._stream):
            return
        if self._since_nanos is not None and record.nanos < self._since_nanos:
            return
        if self._timestamps and self._at_line_start:
            out += (record.timestamp, b" ")
        out.append(record.content)
        if not record.partial:
            out.append(b"\n")
        self._at_line_start = not record.partial

    def _limit(self, text: bytes) -> bytes:
        if self._left is None:
            return text
        text = text[: self._left]
        self._left -= len(text)
        return text


def tail_offset(file: BinaryIO, lines: int, *, reach_bytes: int | None = None) -> int:
    """Return where the last ``lines`` lines begin, reading backwards from the end in blocks.

    Records of one line that was written in parts count as one. ``reach_bytes``: go back no further than about that; a single line
    may be as long as the disk is large. Moves the file's position.
    """
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    counted = 0
    last = True
    for start, record in _records_backwards(file, end):
        if reach_bytes is not None and end - start > reach_bytes:
            return start + len(record)
        if last or not _is_partial(record):
            counted += 1
            if counted > lines:
                return start + len(record)
        last = False
    return 0


def _records_backwards(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, record with its newline), the last one first."""
    position, rest = end, b""  # ``rest`` starts at ``position``: the end of a record whose beginning was not read yet
    while position:
        length = min(_BLOCK_BYTES, position)
        position -= length
        file.seek(position)
        block = file.read(length) + rest
        head = block.find(b"\n", 0, len(block) - 1) + 1 if position else 0
        offset = position + len(block)
        for record in reversed(_records(block[head:]) if head or not position else []):
            offset -= len(record)
            yield offset, record
        rest = block[:head] if head else (block if position else b"")


def _records(block: bytes) -> list[bytes]:
    *whole, rest = block.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _is_partial(record: bytes) -> bool:
    parts = record.split(b" ", 3)
    return len(parts) > 3 and parts[2].split(b":", 1)[0] == b"P"

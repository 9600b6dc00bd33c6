"""A tar as it arrives: bytes are pushed in, entries and their content come out. No I/O, no names of files made up.

Written here because the standard library's ``tarfile`` pulls from a file object (a blocked thread per layer) and spends ten times as
long on a small file. Reads ustar, pax and GNU. Called by ``image.extraction``; what an entry means for a folder is ``image.unpack``'s.
Source: POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from podspace import errors

BLOCK = 512
_MAX_EXTENSION = 4 << 20  # of one pax header or GNU long name; xattrs are at most 64 KiB each
_XATTR = "SCHILY.xattr."
_MAX_SECONDS = 1 << 40  # utimensat(2) takes a time_t; filesystems clamp


class Kind(Enum):
    REGULAR = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER = b"3"
    BLOCK = b"4"
    FOLDER = b"5"
    FIFO = b"6"


_KINDS = {kind.value: kind for kind in Kind} | {b"\0": Kind.REGULAR, b"7": Kind.REGULAR}


@dataclass(slots=True, kw_only=True)
class Entry:
    """One member as the tar has it, nothing checked. ``name`` and ``target`` are decoded as file names (surrogateescape)."""

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime_nanos: int
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)


class Sink(Protocol):
    """Where entries go. For each: ``entry``, then for regular files any number of ``data``, then ``done``."""

    def entry(self, entry: Entry, /) -> None: ...
    def data(self, data: memoryview, /) -> None: ...
    def done(self) -> None: ...


class TarStream:
    """Push bytes with ``feed``; call ``finish`` at the end. Raises: BadRequest for what is not a tar; what the sink raises."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._header = bytearray()  # of a block that came in two pieces
        self._body = 0  # content still to come
        self._padding = 0
        self._extension: bytearray | None = None  # content is for us: pax records, GNU long names
        self._extension_type = b""
        self._pax: dict[str, bytes] = {}
        self._global: dict[str, bytes] = {}
        self._zero_blocks = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        position, end = 0, len(view)
        while position < end:
            if self._zero_blocks >= 2:
                return  # the end was marked; what follows is the blocking factor's padding
            if self._body:
                taken = min(self._body, end - position)
                self._content(view[position : position + taken])
            elif self._padding:
                taken = min(self._padding, end - position)
                self._padding -= taken
            else:
                taken = min(BLOCK - len(self._header), end - position)
                self._header += view[position : position + taken]
                if len(self._header) == BLOCK:
                    block, self._header = bytes(self._header), bytearray()
                    self._block(block)
            position += taken

    def finish(self) -> None:
        """Raises: BadRequest when the stream ended inside an entry."""
        if self._body or self._padding or self._header or self._extension is not None or self._pax:
            raise errors.BadRequest("unexpected end of the tar")

    def _content(self, data: memoryview) -> None:
        self._body -= len(data)
        if self._extension is None:
            self._sink.data(data)
        else:
            self._extension += data
        if not self._body:
            self._end_of_content()

    def _end_of_content(self) -> None:
        if self._extension is None:
            self._sink.done()
            return
        content, self._extension = bytes(self._extension), None
        if self._extension_type == b"g":
            self._global |= _records(content)
        elif self._extension_type == b"x":
            self._pax |= _records(content)
        else:
            self._pax["path" if self._extension_type == b"L" else "linkpath"] = content.split(b"\0", 1)[0]

    def _block(self, block: bytes) -> None:
        if block[0] == 0 and not any(block):
            self._zero_blocks += 1
            return
        if self._zero_blocks or not _checksum_fits(block):
            raise errors.BadRequest("not a tar, or a damaged one: a header's checksum is wrong")
        kind = block[156:157]
        if kind in (b"x", b"g", b"L", b"K"):
            self._begin_extension(kind, _number(block[124:136]))
        else:
            self._begin_entry(block, kind)

    def _begin_extension(self, kind: bytes, size: int) -> None:
        if size > _MAX_EXTENSION:
            raise errors.BadRequest(f"tar: an extended header of {size} bytes")
        self._extension, self._extension_type = bytearray(), kind
        self._expect(size)

    def _begin_entry(self, block: bytes, type_flag: bytes) -> None:
        overrides = self._global | self._pax if self._global else self._pax
        self._pax = {}
        entry = _entry(block, type_flag, overrides)
        self._sink.entry(entry)
        self._expect(entry.size)

    def _expect(self, size: int) -> None:
        self._body, self._padding = size, -size % BLOCK
        if not size:
            self._end_of_content()


def _entry(block: bytes, type_flag: bytes, pax: dict[str, bytes]) -> Entry:
    name = os.fsdecode(pax["path"] if "path" in pax else _name(block))
    kind = _KINDS.get(type_flag)
    if kind is None or any(key.startswith("GNU.sparse.") for key in pax):
        raise errors.BadRequest(f"tar: {name!r} is of a type that images do not have ({type_flag!r})")
    if kind is Kind.REGULAR and name.endswith("/"):
        kind = Kind.FOLDER  # as before POSIX
    size = _decimal(pax["size"]) if "size" in pax else _number(block[124:136])
    if size < 0:
        raise errors.BadRequest(f"tar: {name!r} has a negative size")
    return Entry(
        name=name,
        kind=kind,
        mode=_number(block[100:108]) & 0o7777,
        uid=_decimal(pax["uid"]) if "uid" in pax else _number(block[108:116]),
        gid=_decimal(pax["gid"]) if "gid" in pax else _number(block[116:124]),
        size=size if kind is Kind.REGULAR else 0,
        mtime_nanos=_nanoseconds(pax["mtime"]) if "mtime" in pax else _clamped(_number(block[136:148])) * 1_000_000_000,
        target=os.fsdecode(pax["linkpath"] if "linkpath" in pax else _text(block[157:257])),
        device=(_number(block[329:337]), _number(block[337:345])) if kind in (Kind.CHARACTER, Kind.BLOCK) else (0, 0),
        xattrs={key[len(_XATTR) :]: value for key, value in pax.items() if key.startswith(_XATTR)} if pax else {},
    )


def _name(block: bytes) -> bytes:
    name = _text(block[0:100])
    if block[257:263] == b"ustar\0" and block[345]:  # GNU's magic differs, and keeps times in the prefix's place
        return _text(block[345:500]) + b"/" + name
    return name


def _text(field_bytes: bytes) -> bytes:
    return field_bytes.split(b"\0", 1)[0]


def _number(digits: bytes) -> int:
    """Octal text, or GNU's base 256 for what does not fit."""
    if digits[0] & 0x80:
        value = int.from_bytes(digits, "big") & ~(1 << (8 * len(digits) - 1))
        return value - (1 << (8 * len(digits) - 1)) if digits[0] & 0x40 else value
    text = digits.split(b"\0", 1)[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise errors.BadRequest("tar: a header holds a number that is none") from None


def _decimal(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise errors.BadRequest("tar: a pax record holds a number that is none") from None


def _nanoseconds(text: bytes) -> int:
    """``1700000000.123456789``; digits beyond nanoseconds are dropped."""
    whole, _, fraction = text.partition(b".")
    seconds = _clamped(_decimal(whole))
    nanos = _decimal(fraction[:9].ljust(9, b"0")) if fraction else 0
    return seconds * 1_000_000_000 + (-nanos if whole.startswith(b"-") else nanos)


def _clamped(seconds: int) -> int:
    return max(-_MAX_SECONDS, min(seconds, _MAX_SECONDS))


def _checksum_fits(block: bytes) -> bool:
    """Computed as if the checksum's own field were spaces; some old tars summed signed bytes."""
    stated = _number(block[148:156])
    if sum(block) - sum(block[148:156]) + 8 * 32 == stated:
        return True
    rest = block[:148] + block[156:]
    return sum(byte - 256 if byte > 127 else byte for byte in rest) + 8 * 32 == stated


def _records(content: bytes) -> dict[str, bytes]:
    """Pax records: ``<length> <key>=<value>\\n``, the length counting itself; values may hold any byte."""
    found: dict[str, bytes] = {}
    position = 0
    while position < len(content):
        space = content.find(b" ", position, position + 12)
        length = _decimal(content[position:space]) if space > 0 else 0
        record = content[space + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if length <= 0 or position + length > len(content) or not equals or not value.endswith(b"\n"):
            raise errors.BadRequest("tar: a malformed pax record")
        found[key.decode(errors="surrogateescape")] = value[:-1]
        position += length
    return found

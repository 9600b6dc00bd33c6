"""Undoing a layer's compression as it streams: gzip through isal, zstd, or none; told apart by the first bytes, as Docker does.

Output is handed on in bounded pieces however well the input was compressed, so that a bomb fills the disk's quota and not the memory.
Called by ``image.extraction`` and ``image.archive``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from podspace import errors

_PIECE = 256 * 1024
_STEP = 64 * 1024  # a member's end copies what follows: with a member per file (eStargz) that must stay little
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP_WBITS = 31
Output = Callable[[bytes], None]


class Decompressor(Protocol):
    def feed(self, data: bytes) -> None:
        """Raises: BadRequest when the input is damaged."""

    def finish(self) -> None:
        """Raises: BadRequest when the input ended too early."""


class Sniffer:
    """Looks at the first bytes, then is that decompressor."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._head = b""
        self._chosen: Decompressor | None = None

    def feed(self, data: bytes) -> None:
        if self._chosen is not None:
            self._chosen.feed(data)
            return
        self._head += data
        if len(self._head) >= len(_ZSTD):
            self._choose()

    def finish(self) -> None:
        if self._chosen is None:
            self._choose()
        assert self._chosen is not None
        self._chosen.finish()

    def _choose(self) -> None:
        head, self._head = self._head, b""
        if head.startswith(_GZIP):
            self._chosen = _Gzip(self._output)
        elif head.startswith(_ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
            self._chosen = _Zstd(self._output)
        else:
            self._chosen = _Plain(self._output)
        self._chosen.feed(head)


class _Plain:
    def __init__(self, output: Output) -> None:
        self._output = output

    def feed(self, data: bytes) -> None:
        self._output(data)

    def finish(self) -> None:
        return


class _Gzip:
    """Any number of gzip members one after the other (pigz, eStargz), zero padding at the end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._member: Any = None

    def feed(self, data: bytes) -> None:
        from isal import igzip_lib, isal_zlib

        try:
            for start in range(0, len(data), _STEP):
                rest = data[start : start + _STEP]
                while rest:
                    rest = self._feed_member(rest, isal_zlib)
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # the stub declares an instance where the class is
            raise errors.BadRequest(f"damaged gzip data: {error}") from error

    def finish(self) -> None:
        if self._member is not None:
            raise errors.BadRequest("unexpected end of the gzip data")

    def _feed_member(self, data: bytes, isal_zlib: Any) -> bytes:
        """Return what comes after the member, b"" while it goes on."""
        if self._member is None:
            data = data.lstrip(b"\0")
            if not data:
                return b""
            self._member = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
        while True:
            piece = self._member.decompress(data, _PIECE)
            self._output(piece)
            data = self._member.unconsumed_tail
            if self._member.eof:
                rest: bytes = self._member.unused_data
                self._member = None
                return rest
            if not data and len(piece) < _PIECE:
                return b""


class _Zstd:
    """Any number of frames, skippable ones included. A missing end shows in what came out: the tar breaks off, or its digest is wrong."""

    def __init__(self, output: Output) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        target: Any = _Writer(output)  # all that is asked of a file here is write()
        self._stream = zstandard.ZstdDecompressor().stream_writer(target, write_size=_PIECE, closefd=False)

    def feed(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except self._error as error:
            raise errors.BadRequest(f"damaged zstd data: {error}") from error

    def finish(self) -> None:
        return


class _Writer:
    """The file that zstandard writes to."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, data: bytes) -> int:
        self._output(data)
        return len(data)

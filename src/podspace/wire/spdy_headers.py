"""Header blocks of SPDY/3.1: name/value pairs, deflated with the dictionary both ends know.

Used by ``wire.spdy`` only. One deflate stream per direction lives as long as the connection, so a block that cannot be read makes
every later one unreadable: there is no way on after an error. It must not know what the headers mean.

Source: SPDY Protocol, Draft 3.1, sections 2.6.10 (Name/Value Header Block) and 2.6.10.1 (Compression).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from podspace.wire.protocol import ProtocolError

MAX_BLOCK_BYTES = 64 * 1024  # inflated; Kubernetes clients send about 60
_LENGTH = struct.Struct(">I")

# The draft's dictionary: first words as they stand in a header block, length first, then text without structure.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization "
    "cache-control connection content-base content-encoding content-language content-length content-location content-md5 "
    "content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after "
    "server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"
)
_MORE_WORDS = ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information"
    "204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error"
    "501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _prefixed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


DICTIONARY = b"".join(_prefixed(word.encode()) for word in [*_WORDS.split(), *_MORE_WORDS]) + _TEXT.encode()


class HeaderEncoder:
    """The sending direction of one connection."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, headers: Mapping[str, str]) -> bytes:
        """Return the compressed block. Names must be lower case."""
        pairs = b"".join(_prefixed(name.encode()) + _prefixed(value.encode()) for name, value in headers.items())
        return self._deflate.compress(_LENGTH.pack(len(headers)) + pairs) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class HeaderDecoder:
    """The receiving direction of one connection."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def decode(self, block: bytes) -> dict[str, str]:
        """Return the headers; several values of one name stay joined by NUL, as they travel.  Raises: ProtocolError."""
        return _parse(self._decompress(block))

    def _decompress(self, block: bytes) -> bytes:
        try:
            plain = self._inflate.decompress(block, MAX_BLOCK_BYTES)
        except zlib.error as error:
            raise ProtocolError(f"SPDY: header block cannot be inflated: {error}") from error
        if self._inflate.unconsumed_tail:
            raise ProtocolError(f"SPDY: header block is larger than {MAX_BLOCK_BYTES} bytes")
        if self._inflate.eof:
            raise ProtocolError("SPDY: header compression ended inside a connection")
        return plain


def _parse(plain: bytes) -> dict[str, str]:
    count, offset = _length(plain, 0)
    headers: dict[str, str] = {}
    for _ in range(count):  # each round takes 8 bytes at least or raises, so a huge count is harmless
        name, offset = _string(plain, offset)
        name = name.lower()
        value, offset = _string(plain, offset)
        if not name or name in headers:
            raise ProtocolError("SPDY: empty or repeated header name")
        headers[name] = value
    if offset != len(plain):
        raise ProtocolError("SPDY: bytes left over after the last header")
    return headers


def _length(plain: bytes, offset: int) -> tuple[int, int]:
    if offset + 4 > len(plain):
        raise ProtocolError("SPDY: header block is cut short")
    return _LENGTH.unpack_from(plain, offset)[0], offset + 4


def _string(plain: bytes, offset: int) -> tuple[str, int]:
    length, offset = _length(plain, offset)
    end = offset + length
    if end > len(plain):
        raise ProtocolError("SPDY: header block is cut short")
    return plain[offset:end].decode("utf-8", "replace"), end

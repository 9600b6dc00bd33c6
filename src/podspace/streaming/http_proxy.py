"""An HTTP request on its way through the server to a port of a Pod: what ``pods/proxy`` and ``services/proxy`` do.

Called by ``api.proxy`` once it is known where to. Bodies are streamed both ways, upgraded connections (WebSocket) are joined. Headers are
treated as an API server treats them: who asked is not told, the way is (X-Forwarded-For, X-Forwarded-Uri), nothing hop-by-hop passes.
It must not know Pods. Source: apimachinery util/proxy (UpgradeAwareHandler, Transport); net/http/httputil ReverseProxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from podspace import errors
from podspace.streaming.link import READ_BYTES, StreamLink, take_over
from podspace.wire import html_links

DIAL_SECONDS = 30.0
PAGE_BYTES = 4 * 1024 * 1024  # a larger page keeps its links as they are
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-9]\d\d)(?: .*)?")
_HOP_BY_HOP = (
    *("Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer"),
    *("Transfer-Encoding", "Upgrade", "Expect"),
)
_CORS = ("Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin")
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to: ``scheme`` http or https (no certificate is verified), ``path`` with its escapes, "" or from "/" on.

    ``prefix``: the path of the request up to there, for links that lead back.
    """

    scheme: str
    host: str
    port: int
    path: str
    prefix: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


async def forward(request: web.Request, place: Place) -> web.StreamResponse:
    """Answer with what is answered there.  Raises: Unavailable (nobody there), ConnectionResetError (the client is gone)."""
    if "upgrade" in request.headers.get(hdrs.CONNECTION, "").lower() and hdrs.UPGRADE in request.headers:
        return await _joined(request, place)
    _, _, query = request.raw_path.partition("?")
    if not place.path and request.method in ("GET", "HEAD"):
        location = f"{place.prefix}/" + (f"?{query}" if query else "")
        return web.Response(status=301, headers={hdrs.LOCATION: location})
    url = URL(f"{place.scheme}://{place.authority}{place.path or '/'}" + (f"?{query}" if query else ""), encoded=True)
    async with _session() as session:
        try:
            answer = await session.request(
                request.method,
                url,
                headers=_outgoing(request, place),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
                ssl=False,
                skip_auto_headers=_NOT_ADDED,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(place, error) from error
        async with answer:
            return await _relayed(request, place, answer)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=DIAL_SECONDS),
        read_bufsize=READ_BYTES,
    )


def _unreachable(place: Place, error: BaseException) -> errors.Unavailable:
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, ConnectionRefusedError):
        why = f"dial tcp {place.authority}: connect: connection refused"
    elif isinstance(cause, TimeoutError):
        why = f"dial tcp {place.authority}: i/o timeout"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        why = "EOF"
    else:
        why = str(cause.strerror if isinstance(cause, OSError) and cause.strerror else cause)
    return errors.Unavailable(f"error trying to reach service: {why}")


def _outgoing(request: web.Request, place: Place) -> CIMultiDict[str]:
    """The request's headers for the other side, but for who asked and by what right."""
    headers = CIMultiDict(request.headers)
    told = [name for name in headers if name.lower().startswith("impersonate-")]
    for name in (*_connection_options(request.headers.getall(hdrs.CONNECTION, [])), *_HOP_BY_HOP, *told, "Authorization"):
        headers.popall(name, None)
    if hdrs.CONTENT_ENCODING in headers:  # what comes here is unpacked already
        headers.popall(hdrs.CONTENT_ENCODING)
        headers.popall(hdrs.CONTENT_LENGTH, None)
    headers["X-Forwarded-Uri"] = f"{place.prefix}{place.path}"
    if request.remote:
        headers["X-Forwarded-For"] = ", ".join([*request.headers.getall("X-Forwarded-For", []), request.remote])
    return headers


def _connection_options(values: Iterable[str]) -> list[str]:
    """Headers that ``Connection`` names are for one hop too."""
    return [option.strip() for value in values for option in value.split(",") if option.strip()]


def _incoming(headers: CIMultiDict[str], place: Place, host: str) -> CIMultiDict[str]:
    for name in (*_connection_options(headers.getall(hdrs.CONNECTION, [])), *_HOP_BY_HOP, *_CORS):
        headers.popall(name, None)
    if hdrs.LOCATION in headers:
        headers[hdrs.LOCATION] = html_links.url(headers[hdrs.LOCATION], place.prefix, (place.authority, host))
    return headers


async def _relayed(request: web.Request, place: Place, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    begun = b""
    headers = _incoming(CIMultiDict(answer.headers), place, request.host)
    if answer.content_type == "text/html" and request.method != "HEAD" and answer.status not in _NO_BODY:
        begun = await _read_page(answer)
        if len(begun) <= PAGE_BYTES:
            body = await asyncio.to_thread(_rewritten, begun, headers, place, request.host)  # seconds, for a page that is all links
            headers.popall(hdrs.CONTENT_LENGTH, None)
            return web.Response(status=answer.status, reason=answer.reason, body=body, headers=headers)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    if request.method != "HEAD" and answer.status not in _NO_BODY and hdrs.CONTENT_LENGTH not in headers:
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        if begun:
            await response.write(begun)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except BaseException:  # half an answer must not look like a whole one
        if request.transport is not None:
            request.transport.abort()
        raise
    return response


async def _read_page(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, or the beginning of one that is too large."""
    body = bytearray()
    while len(body) <= PAGE_BYTES and (piece := await answer.content.readany()):
        body += piece
    return bytes(body)


def _rewritten(body: bytes, headers: CIMultiDict[str], place: Place, host: str) -> bytes:
    encoding = headers.get(hdrs.CONTENT_ENCODING, "")
    try:
        text = _unzipped(body) if encoding == "gzip" else body if not encoding else None
    except (OSError, EOFError, zlib.error):
        text = None
    if text is None:
        return body
    changed = html_links.page(text.decode("utf-8", "surrogateescape"), place.prefix, (place.authority, host))
    plain = changed.encode("utf-8", "surrogateescape")
    return gzip.compress(plain) if encoding else plain


def _unzipped(body: bytes) -> bytes | None:
    """None for what unpacks to far more than a page."""
    unpacker = zlib.decompressobj(wbits=31)
    text = unpacker.decompress(body, PAGE_BYTES)
    return text if unpacker.eof else None


async def _joined(request: web.Request, place: Place) -> web.StreamResponse:
    """Ask for the upgrade; if it is granted, bytes go both ways until both sides have ended."""
    context = _any_certificate() if place.scheme == "https" else None
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context, limit=READ_BYTES)
    except OSError as error:
        raise _unreachable(place, error) from error
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(writer.close)
        try:
            writer.write(_request_head(request, place))
            await writer.drain()
            status, headers = _response_head(await reader.readuntil(b"\r\n\r\n"))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise errors.Unavailable(f"error trying to reach service: {error}") from error
        if status != 101:
            return await _refused(request, status, headers, reader)
        response, client = await take_over(request, headers)
        await _pipe(client, reader, writer)
        return response


def _any_certificate() -> object:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _request_head(request: web.Request, place: Place) -> bytes:
    _, _, query = request.raw_path.partition("?")
    headers = _outgoing(request, place)
    headers[hdrs.CONNECTION], headers[hdrs.UPGRADE] = "Upgrade", request.headers[hdrs.UPGRADE]
    first = f"{request.method} {place.path or '/'}{'?' + query if query else ''} HTTP/1.1\r\n"
    return (first + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode("utf-8", "surrogateescape")


def _response_head(head: bytes) -> tuple[int, CIMultiDict[str]]:
    """Raises: ValueError for what could not be passed on as it is: a container may mean harm."""
    first, *lines = head.decode("utf-8", "replace").removesuffix("\r\n\r\n").split("\r\n")
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise ValueError("malformed HTTP response")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not name.isascii() or not name.isprintable() or " " in name or any(char in value for char in "\r\n\0"):
            raise ValueError("malformed MIME header")
        headers.add(name, value.strip())
    return int(found[1]), headers


async def _refused(request: web.Request, status: int, headers: CIMultiDict[str], reader: asyncio.StreamReader) -> web.StreamResponse:
    """Pass on why there is no upgrade."""
    chunked, length = "chunked" in headers.get(hdrs.TRANSFER_ENCODING, "").lower(), headers.get(hdrs.CONTENT_LENGTH, "")
    for name in (*_HOP_BY_HOP, *_CORS, hdrs.CONTENT_LENGTH):
        headers.popall(name, None)
    pieces = _chunks(reader) if chunked else _stretch(reader, int(length) if length.isascii() and length.isdigit() else None)
    body = b""
    with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async for piece in pieces:
            body += piece
            if len(body) > PAGE_BYTES:
                break
    return web.Response(status=status, headers=headers, body=body)


async def _stretch(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    left = length
    while left != 0 and (piece := await reader.read(READ_BYTES if left is None else min(left, READ_BYTES))):
        left = None if left is None else left - len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """RFC 9112 7.1."""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        if size > PAGE_BYTES:
            return
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def _pipe(client: StreamLink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy both ways until the Pod's side has ended; the client's end is handed on."""

    async def up() -> None:
        with contextlib.suppress(OSError):
            while data := await client.read():
                writer.write(data)
                await writer.drain()
            writer.write_eof() if writer.can_write_eof() else writer.close()

    uploading = asyncio.ensure_future(up())
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                await client.write(data)
    finally:
        uploading.cancel()
        await client.close()

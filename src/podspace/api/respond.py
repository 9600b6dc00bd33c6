"""Making HTTP answers of JSON: one encoder, pretty print, YAML, gzip, warnings.

Called by every handler through ``Call.answer`` and by the boundary for failures. It must not know resources or the store.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from podspace.streaming import feed, upgrade

_GZIP_FROM_BYTES = 128 * 1024  # below that compressing costs more than it saves; the API server's own threshold
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def encode(value: Any) -> bytes:
    """Compact JSON without a final newline."""
    return _ENCODE(value).encode()


def to_yaml(value: Any) -> bytes:
    """Sorted keys, as Go's YAML answers are."""
    import yaml

    return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True).encode()


def body(value: Any, *, pretty: bool = False, yaml: bool = False) -> bytes:
    """The bytes of an answer: compact ends with a newline, pretty print does not."""
    if yaml:
        return to_yaml(value)
    if pretty:
        return json.dumps(value, indent=2, ensure_ascii=False).encode()
    return encode(value) + b"\n"


def response(
    payload: bytes,
    *,
    code: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    gzip: bool = False,
) -> web.Response:
    """An answer of bytes. ``gzip`` = the client takes it; used for big bodies only."""
    fields: CIMultiDict[str] = CIMultiDict({"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    if headers:
        fields.update(headers)
    for text in warnings:
        fields.add("Warning", f'299 - "{_quoted(text)}"')
    if gzip and len(payload) >= _GZIP_FROM_BYTES:
        payload = _gzip(payload)
        fields["Content-Encoding"] = "gzip"
        fields["Vary"] = "Accept-Encoding"
    return web.Response(body=payload, status=code, headers=fields)


def _gzip(payload: bytes) -> bytes:
    """Three times as quick as zlib: a list of thousands must not hold up everybody else."""
    from isal import igzip_lib

    return igzip_lib.compress(payload, 1, flag=igzip_lib.COMP_GZIP)


@contextlib.asynccontextmanager
async def stream(http: web.BaseRequest, content_type: str, *, lines: bool = False) -> AsyncIterator[feed.Feed]:
    """An answer of unknown length; ended when the context is. A client that is gone ends it too.

    In messages for who asks for a WebSocket: one for each line with ``lines``, else one for each ``write``.
    What goes wrong meanwhile breaks the connection off: there is no place for a Status, and the client must not take it for the end.
    """
    if upgrade.asks_for(http) == "websocket":
        async with feed.of_lines(http) if lines else feed.of_bytes(http) as messages:
            with _broken_off(http):
                yield messages
        return
    answer = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    answer.enable_chunked_encoding()
    async with streaming(http, answer):
        yield feed.Feed(answer, answer.write)


@contextlib.asynccontextmanager
async def streaming(http: web.BaseRequest, answer: web.StreamResponse) -> AsyncIterator[None]:
    """As ``stream``, for an answer with a head of its own."""
    await answer.prepare(http)
    with _broken_off(http):
        yield
        await answer.write_eof()


@contextlib.contextmanager
def _broken_off(http: web.BaseRequest) -> Iterator[None]:
    try:
        yield
    except ConnectionResetError:
        pass
    except BaseException:
        if http.transport is not None:
            http.transport.abort()
        raise


def text(words: str, *, code: int = 200) -> web.Response:
    """A plain-text answer, as health endpoints and unknown paths give."""
    return response(words.encode(), code=code, content_type="text/plain; charset=utf-8", headers={"X-Content-Type-Options": "nosniff"})


def _quoted(words: str) -> str:
    """A header's quoted-string: no control characters, quotes and backslashes escaped (RFC 9110 5.6.4)."""
    printable = "".join(character if character.isprintable() else " " for character in words)
    return printable.replace("\\", "\\\\").replace('"', '\\"')

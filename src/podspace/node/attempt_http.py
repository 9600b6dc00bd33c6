"""One HTTP GET to a container, as a kubelet makes it: no proxy, no certificate is verified, redirects within the same host.

Called by ``attempts`` for probes and by ``hooks``. Source: kubernetes pkg/probe/http.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from podspace import errors
from podspace.node import attempts, handlers
from podspace.node.handlers import HttpGet
from podspace.node.pod import Pod
from podspace.node.probes import Answer, Outcome
from podspace.node.recorder import Recorder

_BODY_LIMIT_BYTES = 10 << 10
_MOST_REDIRECTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    body: str


async def probe(target: attempts.Target, handler: HttpGet, timeout_seconds: float) -> Outcome:
    """200 to 399 is good; a redirect that leads elsewhere is good with a warning."""
    url = url_of(target, handler)
    try:
        async with asyncio.timeout(timeout_seconds):
            answer = await fetch(url, headers_of(handler, purpose="probe"))
    except TimeoutError:
        words = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return Outcome(answer=Answer.FAILURE, text=words)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Outcome(answer=Answer.FAILURE, text=f'Get "{url}": {words_of(url, error)}')
    if 300 <= answer.status < 400:
        return Outcome(answer=Answer.WARNING, text=f"Probe terminated redirects, Response body: {answer.body}")
    if 200 <= answer.status < 400:
        return Outcome(answer=Answer.SUCCESS, text=answer.body)
    return Outcome(answer=Answer.FAILURE, text=f"HTTP probe failed with statuscode: {answer.status}")


def url_of(target: attempts.Target, handler: HttpGet) -> URL:
    port = handlers.port_number(handler.port, target.ports)
    path = handler.path if handler.path.startswith("/") else f"/{handler.path}"
    # The port is said even where the scheme has it, as a kubelet's messages do.
    return URL(f"{handler.scheme.lower()}://{attempts.endpoint(handler.host or target.address, port)}{path}")


def headers_of(handler: HttpGet, *, purpose: str) -> CIMultiDict[str]:
    """The handler's headers, and those a kubelet adds unless they are given; one that is given empty is not sent."""
    headers = CIMultiDict(handler.headers)
    headers.setdefault("User-Agent", attempts.user_agent(purpose))
    headers.setdefault("Accept", "*/*")
    for name in ("User-Agent", "Accept"):
        if headers[name] == "":
            del headers[name]
    return headers


async def fetch(url: URL, headers: CIMultiDict[str]) -> Response:
    """GET, following redirects as long as they stay on the same host. Raises: aiohttp's errors, OSError, ValueError after ten redirects."""
    host = url.host
    async with _session() as session:
        for _ in range(_MOST_REDIRECTS + 1):
            async with session.get(url, headers=headers, allow_redirects=False) as answer:
                location = answer.headers.get("Location", "")
                onward = url.join(URL(location)) if answer.status in (301, 302, 303, 307, 308) and location else None
                if onward is None or onward.host != host:
                    body = await answer.content.read(_BODY_LIMIT_BYTES)
                    return Response(status=answer.status, body=body.decode(errors="replace"))
                url = onward
    raise ValueError(f"stopped after {_MOST_REDIRECTS} redirects")


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=False, force_close=True, use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield session


def words_of(url: URL, error: Exception) -> str:
    """Why there was no answer, as Go words it."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        plain = "WRONG_VERSION_NUMBER" in str(error) or "record layer failure" in str(error)
        return "http: server gave HTTP response to HTTPS client" if plain else f"tls: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return attempts.dial_words(url.host or "", url.port or 0, error.os_error)
    return str(error) or type(error).__name__


async def hook(recorder: Recorder, pod: Pod, target: attempts.Target, handler: HttpGet) -> str:
    """Make a hook's request; any answer is good. Return why there was none, "" if there was.

    HTTPS to a server that speaks HTTP is tried again without: hooks were always HTTP once. Source: kubelet lifecycle/handlers.go.
    """
    if not (handler.host or target.address):
        return "failed to find networking container"
    try:
        url = url_of(target, handler)
    except errors.BadRequest as error:
        return str(error)
    headers = headers_of(handler, purpose="lifecycle")
    try:
        try:
            await fetch(url, headers)
        except aiohttp.ClientConnectorSSLError:
            headers.popall("Authorization", None)
            await fetch(url.with_scheme("http"), headers)
            words = f"request to HTTPS lifecycle hook {url.host}:{url.port} got HTTP response, retry with HTTP succeeded"
            recorder.warning(pod.raw, "LifecycleHTTPFallback", words)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f'Get "{url}": {words_of(url, error)}'
    return ""

"""``kubectl proxy`` and ``get --raw .../proxy/...``: an HTTP request handed on to a Pod, or refused for a Service, behind which is nobody.

Called by ``dispatch`` for pods/X/proxy and services/X/proxy. The Pod is reached at its own address, as from any other process of this
machine; what it answers goes back as it comes.
Source: kubernetes pkg/registry/core/pod ResourceLocation, apimachinery util/proxy.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from podspace import errors
from podspace.api import respond
from podspace.api.call import Call
from podspace.kube.json import JSON

if TYPE_CHECKING:
    import aiohttp

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OURS = frozenset({"authorization", "host", "content-length"})  # the API's credentials are not for a Pod
_DIAL_SECONDS = 30.0
_SCHEMES = ("http", "https")


async def to_pod(call: Call) -> web.StreamResponse:
    """Hand the request on.  Raises: NotFound, BadRequest (no port, no address), Unavailable (nobody answers)."""
    scheme, name, port = _parts(call.target.name)
    pod = call.store.get("pods", call.target.namespace, name)
    if pod is None:
        raise errors.NotFound.of("pods", name)
    if "upgrade" in call.http.headers.get("Connection", "").lower():
        raise errors.Unsupported("a proxied connection cannot be upgraded: use kubectl port-forward")
    host = _address(pod)
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or _first_port(pod)}{_rest(call)}"
    return await _relayed(call, url)


async def to_service(call: Call) -> web.StreamResponse:
    """Nothing routes to Services here, so none has endpoints.  Raises: NotFound, Unavailable."""
    _, name, _ = _parts(call.target.name)
    if call.store.get("services", call.target.namespace, name) is None:
        raise errors.NotFound.of("services", name)
    raise errors.Unavailable(f'no endpoints available for service "{call.target.name}"')


def _parts(text: str) -> tuple[str, str, str]:
    """``web``, ``web:80``, ``https:web:443`` -> (scheme, name, port or "").  Raises: BadRequest."""
    parts = text.split(":")
    scheme, name, port = {1: ("http", *parts, ""), 2: ("http", *parts), 3: tuple(parts)}.get(len(parts), ("", "", ""))
    if scheme not in (*_SCHEMES, "") or not name or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise errors.BadRequest(f'invalid pod request "{text}"')
    return scheme or "http", name, port


def _address(pod: JSON) -> str:
    host = str((pod.get("status") or {}).get("podIP") or "")
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        raise errors.BadRequest("address not allowed") from None
    if found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified:
        raise errors.BadRequest("address not allowed")
    return host


def _first_port(pod: JSON) -> int:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            return int(port["containerPort"])
    return 80


def _rest(call: Call) -> str:
    """Path and query behind ``/proxy``, as they were sent."""
    prefix = f"/{call.target.resource.plural}/{quote(call.target.name, safe=':')}/proxy"
    _, found, rest = call.http.raw_path.partition(prefix)
    if not found:
        rest = call.http.raw_path.partition("/proxy")[2]
    return rest if rest.startswith("/") else f"/{rest}"


async def _relayed(call: Call, url: str) -> web.StreamResponse:
    import aiohttp
    from yarl import URL

    headers = CIMultiDict(
        (name, value) for name, value in call.http.headers.items() if name.lower() not in _HOP_BY_HOP and name.lower() not in _OURS
    )
    headers["X-Forwarded-Uri"] = call.http.raw_path.partition("?")[0]
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_DIAL_SECONDS)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        body = call.http.content if call.http.can_read_body else None
        try:
            # whose certificate it is nobody can tell: a Pod has none that we would know
            answer = await session.request(
                call.http.method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False, ssl=False
            )
        except aiohttp.ClientError as error:
            raise errors.Unavailable(f"error trying to reach service: {_words(error, url)}") from error
        async with answer:
            return await _returned(call, answer)


async def _returned(call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    async with respond.streaming(call.http, response):
        async for piece in answer.content.iter_any():
            await response.write(piece)
    return response


def _words(error: Exception, url: str) -> str:
    """As Go says it, if it is the system that says no."""
    number = getattr(getattr(error, "os_error", None), "errno", None)
    if number:
        return f"dial tcp {url.partition('://')[2].partition('/')[0]}: connect: {os.strerror(number).lower()}"
    return str(error) or type(error).__name__

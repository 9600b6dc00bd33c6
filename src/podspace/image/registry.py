"""One repository at one registry, read: manifests and blobs, with whatever authorization it wants.

Called by ``image.sources``. Raises in the registry's own words; which name the user asked for is added above.
Source: OCI distribution-spec, "Pull"; RFC 9110 (ranges).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from podspace import errors
from podspace.image import challenge, manifest
from podspace.image.auth import Credential
from podspace.image.registries_conf import Endpoint
from podspace.image.transport import Transport

if TYPE_CHECKING:
    import aiohttp

_HUB_API = "registry-1.docker.io"
_MAX_ERROR_BYTES = 64 * 1024
_MAX_TOKEN_BYTES = 1 << 20


class Interrupted(errors.Unavailable):
    """The connection broke or the registry is overloaded: worth another try, from where it stopped."""


class Repository:
    """``credential`` None: whatever anybody may read. Use inside ``transport.opened()``."""

    def __init__(self, transport: Transport, endpoint: Endpoint, credential: Credential | None = None) -> None:
        self.endpoint = endpoint
        self._transport = transport
        self._credential = credential
        self._authorization = ""

    async def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return body and media type of a manifest by tag or digest; a digest is verified by the caller."""
        async with self._get(f"manifests/{reference}", {"Accept": manifest.ACCEPT}) as response:
            body = await _bounded(response, manifest.MAX_BYTES)
            return body, response.headers.get("Content-Type", "")

    async def digest(self, tag: str) -> str:
        """Return the digest of a tag's manifest; "" when the registry does not tell (or has no such tag: ``manifest`` says why)."""
        async with self._answer("HEAD", f"manifests/{tag}", {"Accept": manifest.ACCEPT}) as response:
            return response.headers.get("Docker-Content-Digest", "") if response.status == 200 else ""

    async def small_blob(self, digest: str) -> bytes:
        """Return a blob that is expected to be small: a config."""
        async with self._get(f"blobs/{digest}", {}) as response:
            return await _bounded(response, manifest.MAX_BYTES)

    async def blob(self, digest: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield a blob's bytes from ``offset`` on, unverified. Raises: Interrupted when it may be continued."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._get(f"blobs/{digest}", headers) as response:
            skip = offset - _start(response)
            async for chunk in _chunks(response):
                if skip >= len(chunk):
                    skip -= len(chunk)
                else:
                    yield chunk[skip:] if skip else chunk
                    skip = 0

    @contextlib.asynccontextmanager
    async def _get(self, path: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._answer("GET", path, headers) as response:
            if response.status not in (200, 206):
                raise self._refusal(response.status, await _bounded(response, _MAX_ERROR_BYTES))
            yield response

    @contextlib.asynccontextmanager
    async def _answer(self, method: str, path: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and ask again as somebody when the registry wants to know who we are."""
        url = f"{await self._base()}/v2/{self.endpoint.repository}/{path}"
        async with contextlib.AsyncExitStack() as stack:
            response = await stack.enter_async_context(self._request(method, url, headers))
            if response.status == 401:
                body = await _bounded(response, _MAX_ERROR_BYTES)
                await self._authorize(response, body)
                await stack.aclose()
                response = await stack.enter_async_context(self._request(method, url, headers))
            yield response

    @contextlib.asynccontextmanager
    async def _request(self, method: str, url: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._authorization:
            headers = {**headers, "Authorization": self._authorization}
        with self._network_errors():
            async with self._transport.session.request(
                method, url, headers=headers, ssl=not self.endpoint.insecure, allow_redirects=True, proxy=self._transport.proxy(url)
            ) as response:
                yield response

    async def _authorize(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        wanted = challenge.pick(challenge.parse(response.headers.getall("WWW-Authenticate", [])))
        if wanted is None or (wanted.scheme == "basic" and (self._credential is None or self._authorization)):
            raise self._refusal(response.status, body)
        if self._credential is not None and self._credential.registry_token:
            if self._authorization:  # it was shown, and did not do
                raise self._refusal(response.status, body)
            self._authorization = challenge.bearer(self._credential.registry_token)
        elif wanted.scheme == "basic":
            assert self._credential is not None
            self._authorization = challenge.basic(self._credential)
        else:
            self._authorization = challenge.bearer(await self._token(wanted))

    async def _token(self, wanted: challenge.Challenge) -> str:
        realm = wanted.parameters.get("realm", "")
        scheme = _scheme(realm)
        if scheme != "https" and not (scheme == "http" and self.endpoint.insecure):
            raise errors.Unauthorized(f"{self.endpoint.host} wants a token from {realm!r}, which is not safe to ask")
        query = {"service": wanted.parameters.get("service", ""), "scope": wanted.parameters.get("scope", "") or self._scope()}
        with self._network_errors():
            async with self._ask_for_token(realm, {key: value for key, value in query.items() if value}) as response:
                body = await _bounded(response, _MAX_TOKEN_BYTES)
                if response.status != 200:
                    raise self._refusal(response.status, body)
                return challenge.token(body)

    def _ask_for_token(self, realm: str, query: dict[str, str]) -> aiohttp.client._RequestContextManager:
        session, verify, proxy = self._transport.session, not self.endpoint.insecure, self._transport.proxy(realm)
        who = self._credential
        if who is not None and who.identity_token:
            form = {**query, "grant_type": "refresh_token", "refresh_token": who.identity_token, "client_id": "podspace"}
            return session.post(realm, data=form, ssl=verify, proxy=proxy, allow_redirects=False)
        headers = {"Authorization": challenge.basic(who)} if who is not None else {}
        return session.get(realm, params=query, headers=headers, ssl=verify, proxy=proxy)

    def _scope(self) -> str:
        return f"repository:{self.endpoint.repository}:pull"

    async def _base(self) -> str:
        host = _HUB_API if self.endpoint.host == "docker.io" else self.endpoint.host
        if not self.endpoint.insecure:
            return f"https://{host}"
        if host not in self._transport.schemes:
            self._transport.schemes[host] = await self._probe(host)
        return f"{self._transport.schemes[host]}://{host}"

    async def _probe(self, host: str) -> str:
        """An insecure registry speaks TLS with a certificate nobody vouches for, or plain HTTP: find out."""
        import aiohttp

        try:
            async with self._transport.session.get(f"https://{host}/v2/", ssl=False, proxy=self._transport.proxy(f"https://{host}")):
                return "https"
        except (aiohttp.ClientError, TimeoutError, OSError):
            with self._network_errors():
                async with self._transport.session.get(f"http://{host}/v2/", proxy=self._transport.proxy(f"http://{host}")):
                    return "http"

    @contextlib.contextmanager
    def _network_errors(self) -> Iterator[None]:
        import aiohttp

        try:
            yield
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.TooManyRedirects) as error:  # not worth another try
            raise errors.Unavailable(f"{self.endpoint.host}: {_network_words(error)}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Interrupted(f"{self.endpoint.host}: {_network_words(error)}") from error

    def _refusal(self, status: int, body: bytes) -> errors.PodspaceError:
        words = challenge.said(body)
        answer = f"{self.endpoint.host} answered {status}" + (f": {words}" if words else "")
        if status in (401, 403):
            kind = errors.Unauthorized if status == 401 else errors.Forbidden
            return kind(f"pull access denied, repository does not exist or may require authorization: server message: {answer}")
        if status == 404:
            # People search for containerd's sentence, so it comes first; which of several places said what is worth knowing too.
            return errors.NotFound(f"not found ({self.endpoint.host}: {words})" if words else f"not found ({self.endpoint.host})")
        if status == 429 or status >= 500:
            return Interrupted(answer)
        return errors.Unavailable(f"unexpected status from GET request: {answer}")


def _network_words(error: Exception) -> str:
    """What went wrong, as another program would put it: aiohttp's own sentences quote objects of Python."""
    import aiohttp

    match error:
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {_cause(error.os_error)}"
        case aiohttp.TooManyRedirects():
            return "it redirects without end"
        case aiohttp.InvalidURL():
            return f"not an address: {error.url}"
        case aiohttp.NonHttpUrlClientError():
            return f"not an address of a registry: {error}"
        case aiohttp.ClientPayloadError():
            return "the answer broke off"
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientResponseError():
            return f"a malformed answer: {' '.join(error.message.split())}"
    return str(error) or type(error).__name__


def _scheme(url: str) -> str:
    """ "" of what is no URL."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _cause(error: OSError) -> str:
    """The kernel's, the resolver's or the certificate's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, (ssl.SSLError, socket.gaierror)) or error.errno is None or error.errno < 0:
        return error.strerror or str(error)
    return os.strerror(error.errno)  # its own strerror names the address again


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in _chunks(response):
        body += chunk
        if len(body) > limit:
            raise errors.FailedPrecondition(f"{response.url}: more than {limit} bytes")
    return bytes(body)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while chunk := await response.content.readany():
        yield chunk


def _start(response: aiohttp.ClientResponse) -> int:
    """Return where the body begins: a registry may ignore the Range and send everything."""
    if response.status != 206:
        return 0
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    if unit != "bytes" or not re.fullmatch(r"[0-9]{1,18}", first):
        raise Interrupted(f"{response.url}: 206 without a usable Content-Range")
    return int(first)

"""The HTTP session all pulls share, open while one of them runs; aiohttp is imported when the first one does.

Called by ``image.service`` and ``image.registry``. Knows sockets and certificates, no image.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from podspace.image import registries_conf

if TYPE_CHECKING:
    import aiohttp

_CONNECT_SECONDS = 15
_SILENCE_SECONDS = 60  # a registry that sends nothing for this long is gone
_READ_AHEAD_BYTES = 512 * 1024


class Transport:
    """Sessions and what was learnt about hosts on the way."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._users = 0
        self.schemes: dict[str, str] = {}  # insecure host -> what it turned out to speak

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "only inside `async with opened()`"
        return self._session

    @staticmethod
    def proxy(url: str) -> str | None:
        """Return the proxy the environment names for ``url``. This machine itself is never behind one, whatever no_proxy says (as in Go).

        Not left to aiohttp's trust_env: that would also send what is in ~/.netrc.
        """
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(url)
        if registries_conf.is_loopback(parts.netloc) or proxy_bypass(parts.hostname or ""):
            return None
        return getproxies().get(parts.scheme)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the session open meanwhile."""
        if self._session is None:
            self._session = _new_session()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                session, self._session = self._session, None
                await session.close()


def _new_session() -> aiohttp.ClientSession:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
    return aiohttp.ClientSession(
        timeout=timeout,
        read_bufsize=_READ_AHEAD_BYTES,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "podspace"},
    )

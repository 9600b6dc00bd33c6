"""Where one image is read from: its mirrors in order, then its registry, each as whoever we can be there.

Called by ``image.pulling``. A manifest comes from the first that has it; a blob that breaks off goes on where it stopped, at the same
place or the next. Nothing here is verified: that is done where the bytes arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from podspace import errors
from podspace.image import auth, wording
from podspace.image.auth import Credential
from podspace.image.registries_conf import Endpoint
from podspace.image.registry import Interrupted, Repository
from podspace.image.transport import Transport

T = TypeVar("T")

_ATTEMPTS_WITHOUT_PROGRESS = 4
_ATTEMPTS = 50  # a server that breaks off after every byte is not worth following
_FIRST_PAUSE_SECONDS = 0.2


class Sources:
    """The places of one reference. Use inside ``transport.opened()``."""

    def __init__(self, transport: Transport, endpoints: Sequence[Endpoint], credentials: Sequence[Credential]) -> None:
        self._repositories: list[Repository] = []
        for endpoint in endpoints:
            identities: list[Credential | None] = [*auth.matching(endpoint.name, credentials)]
            self._repositories += [Repository(transport, endpoint, who) for who in identities or [None]]

    async def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return body and media type. Raises: what the registry said, all places' words joined."""
        return await self._first(lambda repository: repository.manifest(reference))

    async def digest(self, tag: str) -> str:
        """Return the digest of a tag's manifest, "" when nobody tells."""
        return await self._first(lambda repository: repository.digest(tag))

    async def small_blob(self, digest: str) -> bytes:
        return await self._first(lambda repository: repository.small_blob(digest))

    async def blob(self, digest: str) -> AsyncGenerator[bytes, None]:
        """Yield a blob from its beginning to its end, whatever happens to connections meanwhile."""
        offset = 0
        problem: errors.PodspaceError = errors.NotFound(f"blob {digest}: not found")
        for repository in tuple(self._repositories):
            stale = 0
            for _ in range(_ATTEMPTS):
                before = offset
                try:
                    async with contextlib.aclosing(repository.blob(digest, offset)) as chunks:
                        async for chunk in chunks:
                            offset += len(chunk)
                            yield chunk
                    return
                except Interrupted as error:
                    problem = error
                    stale = 0 if offset > before else stale + 1
                    if stale == _ATTEMPTS_WITHOUT_PROGRESS:
                        break
                    await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**stale)  # manners towards a registry in trouble
                except errors.PodspaceError as error:
                    problem = error
                    break
        raise problem

    async def _first(self, ask: Callable[[Repository], Awaitable[T]]) -> T:
        problems: list[errors.PodspaceError] = []
        for repository in tuple(self._repositories):
            try:
                answer = await _patiently(ask, repository)
            except errors.PodspaceError as error:
                problems.append(error)
            else:
                self._prefer(repository)
                return answer
        # The last place is the registry itself: its verdict is the one to act on.
        last = problems[-1] if problems else errors.NotFound("no registry to pull from: every mirror is for the other kind of reference")
        raise wording.like(last, "; ".join(dict.fromkeys(str(problem) for problem in problems)) or str(last)) from last

    def _prefer(self, repository: Repository) -> None:
        self._repositories.remove(repository)
        self._repositories.insert(0, repository)


async def _patiently(ask: Callable[[Repository], Awaitable[T]], repository: Repository) -> T:
    try:
        return await ask(repository)
    except Interrupted:
        await asyncio.sleep(_FIRST_PAUSE_SECONDS)
        return await ask(repository)

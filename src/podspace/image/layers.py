"""Layers of one image brought in together: unpacked in parallel, finished from the lowest up, each at most once on this machine.

Called by ``image.pulling`` and ``image.archive``, which say where a layer's bytes come from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from podspace import errors
from podspace.aio import cleanup
from podspace.image import unpack, wording
from podspace.image.extraction import Extraction
from podspace.image.flights import Flights
from podspace.image.model import Progress
from podspace.image.store import ImageStore
from podspace.linux import trees

_PARALLEL = 4
_BATCH_SECONDS = 3600.0  # for one batch of bytes to reach the disk; far beyond any disk that is still alive


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A layer to be had. ``digest``: of the compressed blob, "" when nobody knows. ``open``: its bytes from the start."""

    diff_id: str
    chain: str
    digest: str
    size: int | None
    open: Callable[[], AsyncGenerator[bytes, None]]

    @property
    def label(self) -> str:
        return self.digest or self.diff_id


class Layers:
    """One per store."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._flights: Flights[None] = Flights()
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def bring(self, sources: Sequence[Source], progress: Progress | None = None) -> bool:
        """Return once all layers (lowest first) are in the store; say whether any was new. Raises: the first failure."""
        missing = [index for index, source in enumerate(sources) if not self._store.has_layer(source.chain)]
        if progress is not None:
            for index in set(range(len(sources))) - set(missing):
                progress(sources[index].label, sources[index].size or 0, sources[index].size or 0)
        try:
            async with asyncio.TaskGroup() as group:
                for index in missing:
                    group.create_task(self._ensure(sources, index, progress))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return bool(missing)

    async def _ensure(self, sources: Sequence[Source], index: int, progress: Progress | None) -> None:
        if not self._store.has_layer(sources[index].chain):
            await self._flights.join(sources[index].chain, lambda tell: self._one(sources, index, tell), progress)

    async def _one(self, sources: Sequence[Source], index: int, tell: Progress) -> None:
        source = sources[index]
        with self._store.workspace() as folder:
            try:
                async with self._slots:
                    implied = await _extract(source, folder, tell)
                if index:
                    await self._ensure(sources, index - 1, None)
                below = [self._store.layer_folder(lower.chain) for lower in reversed(sources[:index])]
                await cleanup.finish(asyncio.to_thread(unpack.describe_from, below, folder, implied), _BATCH_SECONDS)
                self._store.commit_layer(folder, source.chain)
            except BaseException:
                # Thousands of files: not on the event loop, where the workspace's own end would remove them.
                await cleanup.finish(asyncio.to_thread(trees.remove_quietly, folder), _BATCH_SECONDS)
                raise


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _extract(source: Source, folder: Path, tell: Progress) -> Sequence[tuple[str, ...]]:
    extraction = Extraction(folder, diff_id=source.diff_id, digest=source.digest, size=source.size)
    try:
        async with contextlib.aclosing(source.open()) as chunks:
            async for chunk in chunks:
                # The thread cannot be stopped, and must not write into a folder that is being removed: wait for it in any case.
                await cleanup.finish(asyncio.to_thread(extraction.feed, chunk), _BATCH_SECONDS)
                tell(source.label, extraction.received, source.size or 0)
        return await cleanup.finish(asyncio.to_thread(extraction.finish), _BATCH_SECONDS)
    except errors.PodspaceError as error:
        raise wording.like(error, f"failed to extract layer {source.label}: {error}") from error
    finally:
        extraction.close()

"""Teardown that a cancellation cannot tear apart.

asyncio cancels once: whoever is cancelled in the middle of a teardown leaves half of it behind. ``finish`` owns the
coroutine, shields it, and gives it a bound; the cancellation is delivered when the teardown is over.
Called wherever something was acquired that the kernel or another program would keep (mounts, cgroups, processes).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from podspace import errors

log = logging.getLogger(__name__)
T = TypeVar("T")


async def finish(coro: Coroutine[Any, Any, T], seconds: float) -> T:
    """Run ``coro`` to its end even if the caller is cancelled meanwhile.

    Raises: TimeoutError after ``seconds``; CancelledError when the caller was cancelled, after the work is done.
    """
    task = asyncio.ensure_future(_bounded(coro, seconds))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # retrieved, so that nothing is logged for an outcome nobody waits for
    raise cancelled


async def undo(coro: Coroutine[Any, Any, Any], seconds: float) -> None:
    """``finish`` for the way out of a failure: what the undo itself cannot do is logged, so that the failure (or cancellation) stays
    the one that is raised. A cancellation that came out as something else would leave its task running for ever.
    """
    try:
        await finish(coro, seconds)
    except (errors.PodspaceError, OSError) as error:
        log.warning("cannot undo all of what failed: %s", error)


async def _bounded(coro: Coroutine[Any, Any, T], seconds: float) -> T:
    async with asyncio.timeout(seconds):
        return await coro

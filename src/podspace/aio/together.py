"""Several coroutines at once under one owner, with plain exceptions instead of groups.

A TaskGroup owns its tasks but hands out its one failure wrapped; who waits for several like things wants the failure itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


async def every(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all to their end and return their results in order.

    The first failure cancels the others and is raised as it is. Cancelled: all are, and whatever fails on the way out does not hide it.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    for task in await _ended(tasks, asyncio.FIRST_EXCEPTION):
        task.result()
    return [task.result() for task in tasks]


async def both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """``every`` for two that are not alike."""
    found: list[Any] = await every([one, other])
    return found[0], found[1]


async def first(*coroutines: Coroutine[Any, Any, Any]) -> int:
    """Run until one ends, cancel the others, and return which it was. Raises what that one raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    [winner, *_] = await _ended(tasks, asyncio.FIRST_COMPLETED)
    winner.result()
    return tasks.index(winner)


async def _ended(tasks: list[asyncio.Task[T]], when: str) -> list[asyncio.Task[T]]:
    """Wait, and return those that ended by themselves, in order; when this returns or raises, all have ended.

    No TaskGroup: it raises a failure of a task instead of its owner's cancellation, and so lets the owner live on.
    """
    try:
        if tasks:
            await asyncio.wait(tasks, return_when=when)
        return [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

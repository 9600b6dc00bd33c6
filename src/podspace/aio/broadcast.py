"""Something that happens again and again, and any number of tasks that wait for its next time.

An ``asyncio.Event`` must be cleared by somebody, and with two waiters one clears it under the other's nose.
"""

from __future__ import annotations

import asyncio


class Broadcast:
    """``tell`` wakes everybody who waits at that moment, and nobody who comes later."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self) -> None:
        await self._next.wait()

"""The same work asked for several times at once is done once, and lives as long as anybody waits for it.

Called by ``image.service`` for images and for layers; knows neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from podspace.image.model import Progress

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.task: asyncio.Task[T] | None = None
        self.waiting = 0
        self.listeners: list[Progress] = []

    def tell(self, digest: str, done: int, total: int) -> None:
        for listener in self.listeners:
            listener(digest, done, total)


class Flights(Generic[T]):
    """Work in progress, by key. The waiters own the task: it never outlives the last of them."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, start: Callable[[Progress], Coroutine[Any, Any, T]], progress: Progress | None = None) -> T:
        """Return the outcome of ``start``, which is called only if nothing with that key is under way.

        Cancelled: the work goes on for the others; when there are none, it is cancelled and its clean-up awaited.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.get_running_loop().create_task(start(flight.tell))
            flight.task.add_done_callback(lambda _: self._land(key, flight))
        assert flight.task is not None
        flight.waiting += 1
        if progress is not None:
            flight.listeners.append(progress)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if progress is not None:
                flight.listeners.remove(progress)
            if not flight.waiting and not flight.task.done():
                self._land(key, flight)  # whoever comes now starts anew
                flight.task.cancel()
                await asyncio.wait({flight.task})

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task is not None and flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # a failure nobody waits for any more is nobody's

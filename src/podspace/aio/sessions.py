"""Work that runs in somebody else's tasks and must be over before the event loop is.

A web server's handlers belong to the web server, which at its end cancels them and does not wait. An exec that is cancelled has a process
to kill first: were the loop to end meanwhile, that process would stay. Called by both front doors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any


class Sessions:
    """The tasks under way. Once ended, whatever still begins is cancelled at once."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Count the caller's task as one of them meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if self._ended:
            task.cancel()
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def end(self, seconds: float) -> None:
        """Cancel all of them, and return when they are over, or after ``seconds``."""
        self._ended = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

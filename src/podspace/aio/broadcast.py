"""Something that happens again and again, and any number of tasks that wait for its next time.

An ``asyncio.Event`` must be cleared by somebody, and with two waiters one clears it under the other's nose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Broadcast:
    """``tell`` wakes everybody who waits at that moment, and nobody who comes later."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        told, self._next = self._next, asyncio.Event()
        told.set()

    def wait(self) -> Coroutine[Any, Any, bool]:
        """Return what to await. It ends with the next ``tell`` after this call, whenever the awaiting begins."""
        return self._next.wait()

"""An event loop whose time passes only when everybody sleeps: hours in a test take no time, and to the millisecond what they should."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
EPOCH = 1_000_000.0


class _Selector(selectors.DefaultSelector):
    """Never waits: the loop's clock jumps instead."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout:
            self.jumped += timeout
        return found


def run(coroutine: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """``asyncio.run`` on such a loop; ``time.time`` and ``time.monotonic`` follow it."""
    selector = _Selector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.jumped  # type: ignore[method-assign]  # the loop's own hook for this is a subclass of it
    monkeypatch.setattr(time, "monotonic", lambda: selector.jumped)
    monkeypatch.setattr(time, "time", lambda: EPOCH + selector.jumped)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()

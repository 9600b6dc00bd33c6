"""The answers that go on until somebody ends them (watches), so that a stopping server can end them in good order.

Called by ``handlers_watch``; ``server`` closes them all. A client that sees its stream end reconnects; one that is cut off complains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


class OpenStreams:
    """A set of things to call when the server stops."""

    def __init__(self) -> None:
        self._closers: dict[object, Callable[[], None]] = {}
        self._closed = False

    @contextlib.contextmanager
    def open(self, close: Callable[[], None]) -> Iterator[None]:
        """Have ``close`` called if the server stops meanwhile; at once if it is stopping."""
        token = object()
        self._closers[token] = close
        try:
            if self._closed:
                close()
            yield
        finally:
            del self._closers[token]

    def __len__(self) -> int:
        """How many are open."""
        return len(self._closers)

    def close_all(self) -> None:
        """End what is open and what is still to come."""
        self._closed = True
        for close in tuple(self._closers.values()):
            close()

"""How long to wait before trying the same thing again: the kubelet's rule, as a value.

10 s, doubled at each failure up to 5 min, forgotten after 10 min without one. Used for container restarts and for
image pulls, each with its own key. Pure: the clock is passed in.
Source: kubelet pkg/kubelet/kubelet.go (MaxCrashLoopBackOff, imageBackOffPeriod), client-go flowcontrol.Backoff.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

INITIAL_SECONDS = 10.0
MAX_SECONDS = 300.0
FORGET_SECONDS = 2 * MAX_SECONDS


@dataclass(slots=True)
class _Entry:
    delay_seconds: float
    updated_at: float


class Backoff:
    """Remembers, per key, how long to leave something alone.

    A container that exits asks ``until(key, exited_at)``, and at each restart ``advance``: so the first restart comes at once,
    the second 10 s after the exit, then 20 s. A pull that fails calls ``advance`` and asks ``until`` with the time of that failure.
    """

    def __init__(self, *, initial_seconds: float = INITIAL_SECONDS, max_seconds: float = MAX_SECONDS) -> None:
        self._initial = initial_seconds
        self._max = max_seconds
        self._entries: dict[Hashable, _Entry] = {}

    def advance(self, key: Hashable, at: float) -> None:
        """Make the next wait longer; ``at`` is when what is being retried failed."""
        entry = self._live(key, at)
        if entry is None:
            self._entries[key] = _Entry(self._initial, at)
        else:
            entry.delay_seconds = min(entry.delay_seconds * 2, self._max)
            entry.updated_at = at

    def delay_seconds(self, key: Hashable, since: float) -> float:
        """How long to wait after a failure at ``since``; 0 if at once."""
        entry = self._live(key, since)
        return entry.delay_seconds if entry else 0.0

    def until(self, key: Hashable, since: float) -> float:
        """When the next try is due after a failure at ``since``."""
        return since + self.delay_seconds(key, since)

    def forget(self, key: Hashable) -> None:
        self._entries.pop(key, None)

    def forget_where(self, first: Hashable) -> None:
        """Forget every tuple key that starts with ``first`` (a Pod that is gone)."""
        for key in [key for key in self._entries if isinstance(key, tuple) and key[:1] == (first,)]:
            del self._entries[key]

    def _live(self, key: Hashable, at: float) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and at - entry.updated_at > FORGET_SECONDS:
            del self._entries[key]
            return None
        return entry

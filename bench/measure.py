"""Medians and how they are shown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds of several runs of one thing."""

    name: str
    millis: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.millis)

    def __str__(self) -> str:
        return f"{self.name:<78} {self.median:8.1f} ms   ({min(self.millis):.1f} - {max(self.millis):.1f}, n={len(self.millis)})"


def repeat(name: str, action: Callable[[], object], *, runs: int, after: Callable[[], object] = lambda: None) -> Times:
    """Time ``action``; ``after`` tidies up, untimed. The first run warms up and does not count."""
    millis = []
    for run in range(runs + 1):
        started = time.perf_counter()
        action()
        took = (time.perf_counter() - started) * 1000
        after()
        if run:
            millis.append(took)
    return Times(name=name, millis=tuple(millis))


def ratio(ours: Times, theirs: Times, bar: float) -> str:
    """One line: how we compare, and what we promised."""
    value = ours.median / theirs.median
    return f"  {ours.name}  /  {theirs.name}  =  {value:.2f}   (bar {bar:.2f}: {verdict(value <= bar)})"


def verdict(kept: bool) -> str:
    return "ok" if kept else "MISSED"

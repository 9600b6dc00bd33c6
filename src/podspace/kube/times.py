"""Points in time as the API writes them: RFC 3339 in UTC, to the second (Time) or the microsecond (MicroTime).

Called by whoever writes or reads a timestamp of an object. It never asks for the current time: that is passed in.
"""

from __future__ import annotations

from datetime import UTC, datetime

_LAST = 253402300799  # 9999-12-31T23:59:59Z


def rfc3339(seconds: float) -> str:
    """``1764000000.9`` -> ``2025-11-24T16:00:00Z``. Seconds since the epoch; fractions are cut off, as Go's metav1.Time does.

    What is later than the last year of four digits is its end: a grace period is any number of seconds.
    """
    return datetime.fromtimestamp(min(seconds // 1, _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """``2025-11-24T16:00:00.900000Z``: always six digits (metav1.MicroTime)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> float:
    """Seconds since the epoch. Any fraction (nanoseconds are cut to microseconds) and any offset.  Raises: ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return moment.timestamp()

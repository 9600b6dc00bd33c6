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
    return _written(min(seconds // 1, _LAST), "seconds")


def rfc3339_micro(seconds: float) -> str:
    """``2025-11-24T16:00:00.900000Z``: always six digits (metav1.MicroTime)."""
    return _written(seconds, "microseconds")


def _written(seconds: float, digits: str) -> str:
    """With four digits of the year, also before 1000, where strftime has fewer."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec=digits) + "Z"


def parse(text: str) -> float:
    """Seconds since the epoch. Any fraction (nanoseconds are cut to microseconds) and any offset.  Raises: ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return moment.timestamp()

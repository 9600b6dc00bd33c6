"""Times as Go reads and prints them: RFC 3339, seconds (or microseconds) in UTC.

Called by ``strict`` for every time a client sends. Clock-free. Source: Go's time.Parse, apimachinery metav1.Time.
"""

from __future__ import annotations

import datetime
import functools
import re

_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_PIECES = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d\d"),
    ("-", "-"),
    ("02", r"\d\d"),
    ("T", "T"),
    ("15", r"\d\d"),
    (":", ":"),
    ("04", r"\d\d"),
    (":", ":"),
    ("05", r"\d\d"),
    ("Z07:00", r"(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)$"),
)


@functools.lru_cache(maxsize=1024)
def canonical(text: str, *, micro: bool = False) -> str:
    """``2020-01-01T02:00:00+02:00`` -> ``2020-01-01T00:00:00Z``. Raises ValueError with Go's sentence."""
    shape = _RFC3339.fullmatch(text)
    if shape is None:
        raise ValueError(_complaint(text, _MICRO_LAYOUT if micro else _LAYOUT))
    year, month, day, hour, minute, second = (int(part) for part in shape.groups()[:6])
    microsecond = int((shape[7] or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, microsecond, _zone(shape[8])).astimezone(datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f'parsing time "{text}": {_out_of_range(month, hour, minute, second)} out of range') from error
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return f"{stamp}.{moment.microsecond:06d}Z" if micro else f"{stamp}Z"


def _zone(text: str) -> datetime.timezone:
    if text == "Z":
        return datetime.UTC
    offset = datetime.timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return datetime.timezone(-offset if text[0] == "-" else offset)


def _complaint(text: str, layout: str) -> str:
    """Go names the piece of the layout it could not match and what was left."""
    rest = text
    for piece, pattern in _PIECES:
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{piece}"'
        rest = rest[found.end() :]
    return f'parsing time "{text}": extra text: "{rest}"'


def _out_of_range(month: int, hour: int, minute: int, second: int) -> str:
    if not 1 <= month <= 12:
        return "month"
    if hour > 23:
        return "hour"
    if minute > 59:
        return "minute"
    return "second" if second > 59 else "day"

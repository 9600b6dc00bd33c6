"""What a client may ask of a container's log: one noun, used by the front door that parses it and by whoever reads the file.

It is here because ``api`` is above ``node`` and neither may import the other's words. It must not know HTTP nor log files.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """The query of ``GET .../pods/X/log``. ``None`` = not asked for.

    ``since_time`` is Unix seconds; at most one of ``since_seconds`` and ``since_time`` is set. ``limit_bytes`` counts what
    is sent, timestamps included. ``previous`` means the instance before the current one.   Source: core/v1 PodLogOptions.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: float | None = None
    limit_bytes: int | None = None

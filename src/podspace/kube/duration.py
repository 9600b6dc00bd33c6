"""How long something took or has lasted, in the few characters that kubectl's tables have for it.

Called by ``table`` and by whoever words an age for people. Source: HumanDuration of k8s.io/apimachinery, behaviour observed in tables.
"""

from __future__ import annotations

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human(seconds: float) -> str:
    """``16s``, ``8m34s``, ``3h20m``, ``2d5h``, ``326d``, ``2y31d``; up to 2 s in the future count as now, more is ``<invalid>``."""
    total = int(seconds)
    if total < 0:
        return "0s" if total == -1 else "<invalid>"
    if total < 2 * _MINUTE:
        return f"{total}s"
    if total < 10 * _MINUTE:
        return _two(total, _MINUTE, "m", 1, "s")
    if total < 3 * _HOUR:
        return f"{total // _MINUTE}m"
    if total < 8 * _HOUR:
        return _two(total, _HOUR, "h", _MINUTE, "m")
    if total < 2 * _DAY:
        return f"{total // _HOUR}h"
    if total < 8 * _DAY:
        return _two(total, _DAY, "d", _HOUR, "h")
    if total < 2 * _YEAR:
        return f"{total // _DAY}d"
    if total < 8 * _YEAR:
        return _two(total, _YEAR, "y", _DAY, "d")
    return f"{total // _YEAR}y"


def _two(total: int, unit: int, name: str, part: int, part_name: str) -> str:
    """Two units, the smaller one only if it is not zero."""
    rest = total % unit // part
    return f"{total // unit}{name}" + (f"{rest}{part_name}" if rest else "")

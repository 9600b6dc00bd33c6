"""The quality-of-service class of a Pod.

Called when a Pod is created, by ``node`` for cgroups and OOM scores, by validation of resizes. Pure.
Source: kubernetes pkg/apis/core/v1/helper/qos.
"""

from __future__ import annotations

from typing import Literal

from podspace.kube import quantity
from podspace.kube.json import JSON

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]
_COUNTED = ("cpu", "memory")


def qos_class(spec: JSON) -> QosClass:
    """Guaranteed, Burstable or BestEffort of a defaulted spec; zero amounts count as none."""
    whole: JSON = spec.get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        holders = [whole]
    else:
        holders = [holder.get("resources") or {} for key in ("containers", "initContainers") for holder in spec.get(key) or ()]
    requests, limits = _total(holders, "requests"), _total(holders, "limits")
    if not requests and not limits:
        return "BestEffort"
    guaranteed = requests == limits and all(_has_both_limits(holder) for holder in holders)
    return "Guaranteed" if guaranteed else "Burstable"


def _total(holders: list[JSON], side: str) -> dict[str, int]:
    """resource -> billionths."""
    total: dict[str, int] = {}
    for holder in holders:
        for name, text in (holder.get(side) or {}).items():
            if name in _COUNTED and (amount := quantity.parse(text).nanos):
                total[name] = total.get(name, 0) + amount
    return total


def _has_both_limits(holder: JSON) -> bool:
    limits: JSON = holder.get("limits") or {}
    return all(name in limits and quantity.parse(limits[name]).nanos for name in _COUNTED)

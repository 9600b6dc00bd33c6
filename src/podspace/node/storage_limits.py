"""Limits of disk space: what a Pod may take of it, and what it has taken too much of. Pure.

Nothing in the kernel holds a container to these, so a kubelet looks from time to time and evicts (``storage_watch`` does the looking).
Source: kubelet pkg/kubelet/eviction/eviction_manager.go localStorageEviction, helpers.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podspace.kube import quantity
from podspace.kube.json import JSON
from podspace.node import requests

EPHEMERAL = "ephemeral-storage"
REASON = "Evicted"
GRACE_SECONDS = 1  # a kubelet's for evictions that cannot wait
_CRITICAL_PRIORITY = 2_000_000_000  # system-cluster-critical and above: never evicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """In bytes. ``volumes``: emptyDirs on disk; ``containers``: the main ones' own; ``pod``: of all together, None = none."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)
    pod: int | None = None

    def __bool__(self) -> bool:
        return bool(self.volumes or self.containers) or self.pod is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """In bytes. ``volumes``: of every volume on the server's disk; ``containers``: what each wrote to its root and its log."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.volumes.values()) + sum(self.containers.values())


def of(spec: JSON) -> Limits:
    """What the spec of a Pod limits; a volume in memory is limited by its file system."""
    sources = {volume["name"]: volume.get("emptyDir") or {} for volume in spec.get("volumes") or ()}
    disks = {name: source["sizeLimit"] for name, source in sources.items() if "sizeLimit" in source and not source.get("medium")}
    limits = {one["name"]: ((one.get("resources") or {}).get("limits") or {}).get(EPHEMERAL) for one in spec["containers"]}
    together = requests.total(spec, "limits")
    return Limits(
        volumes={name: size for name, text in disks.items() if (size := _bytes(text)) > 0},
        containers={name: _bytes(text) for name, text in limits.items() if text is not None},
        pod=together.get(EPHEMERAL, None),
    )


def is_critical(spec: JSON) -> bool:
    return int(spec.get("priority") or 0) >= _CRITICAL_PRIORITY


def exceeded(limits: Limits, usage: Usage) -> str | None:
    """Why the Pod must go, in the kubelet's words; None if it may stay. A limit of zero bounds the Pod, not its container."""
    for name, limit in limits.volumes.items():
        if usage.volumes.get(name, 0) > limit:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{_text(limit)}". '
    if limits.pod is not None and usage.total > limits.pod:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {_text(limits.pod)}. "
    for name, limit in limits.containers.items():
        if limit and usage.containers.get(name, 0) > limit:
            return f'Container {name} exceeded its local ephemeral storage limit "{_text(limit)}". '
    return None


def _bytes(text: str) -> int:
    return quantity.parse(text).value


def _text(amount: int) -> str:
    return quantity.Quantity(nanos=amount * quantity.BILLION, family="binary").canonical()

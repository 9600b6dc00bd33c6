"""What containers and sandboxes use: CPU, memory, disk, network.

Called by ``Engine``. Everything is read when asked for, nothing runs in the background; the disk is walked in a thread, and at most every
ten seconds for one container.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from podspace.linux import cgroup_stats
from podspace.runtime import disk_usage, records, world

_DISK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """``nanos``: when (Unix nanoseconds). ``layer``: what the container wrote to its root."""

    nanos: int
    cgroup: cgroup_stats.Usage
    layer: disk_usage.DiskUsage
    layer_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Counters of a network interface."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxUsage:
    """All containers of the sandbox together. ``interfaces``: without lo, the default one first."""

    nanos: int
    cgroup: cgroup_stats.Usage
    interfaces: tuple[Interface, ...]


async def of_container(here: world.World, container: records.Container) -> ContainerUsage:
    """Figures of now; zeros for one that has ended."""
    layer = container.disk
    if layer is None or time.time_ns() - layer.nanos > _DISK_SECONDS * 1e9:
        layer = container.disk = await asyncio.to_thread(disk_usage.walk, here.layout.snapshot(container.id) / "upper")
    return ContainerUsage(
        nanos=time.time_ns(),
        cgroup=cgroup_stats.read(here.cgroups, container.intent.cgroup),
        layer=layer,
        layer_path=here.layout.snapshot(container.id),
    )


def of_sandbox(here: world.World, sandbox: records.Sandbox) -> SandboxUsage:
    """Figures of now."""
    return SandboxUsage(
        nanos=time.time_ns(),
        cgroup=cgroup_stats.read(here.cgroups, sandbox.intent.cgroup),
        interfaces=_interfaces(sandbox.facts.pid) if sandbox.ready and sandbox.facts.ips else (),
    )


def _interfaces(pid: int) -> tuple[Interface, ...]:
    try:
        return parse_net_dev(Path(f"/proc/{pid}/net/dev").read_text())
    except OSError:
        return ()


def parse_net_dev(text: str) -> tuple[Interface, ...]:
    """Source: proc(5), /proc/net/dev."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(numbers) >= 11:
            found.append(
                Interface(name=name.strip(), rx_bytes=numbers[0], rx_errors=numbers[2], tx_bytes=numbers[8], tx_errors=numbers[10])
            )
    return tuple(sorted(found, key=lambda interface: interface.name != "eth0"))

"""What containers and sandboxes use: CPU, memory, disk, network.

Called by ``Engine``. Everything is read when asked for, nothing runs in the background; the disk is walked in a thread, and at most every
ten seconds for one container.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podspace.linux import cgroup_stats, pressure
from podspace.runtime import disk_usage, records, world

_DISK_SECONDS = 10.0
_NET_DEV = (
    *("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "", "", "", ""),
    *("tx_bytes", "tx_packets", "tx_errors", "tx_dropped"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """``nanos``: when (Unix nanoseconds). ``layer``: what the container wrote to its root."""

    nanos: int
    cgroup: cgroup_stats.Usage
    pressure: Mapping[str, pressure.Pressure]
    layer: disk_usage.DiskUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Counters of a network interface."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxUsage:
    """All containers of the sandbox together. ``interfaces``: without lo, the default one first."""

    nanos: int
    cgroup: cgroup_stats.Usage
    pressure: Mapping[str, pressure.Pressure]
    interfaces: tuple[Interface, ...]


async def of_layer(here: world.World, container: records.Container) -> disk_usage.DiskUsage:
    """What it wrote to its root, as of some seconds ago."""
    if container.disk is None or time.time_ns() - container.disk.nanos > _DISK_SECONDS * 1e9:
        return await of_layer_now(here, container)
    return container.disk


async def of_layer_now(here: world.World, container: records.Container) -> disk_usage.DiskUsage:
    """What it wrote to its root."""
    container.disk = await asyncio.to_thread(disk_usage.walk, here.layout.snapshot(container.id) / "upper")
    return container.disk


async def of_container(here: world.World, container: records.Container) -> ContainerUsage:
    """Figures of now; zeros for one that has ended."""
    layer = await of_layer(here, container)
    return ContainerUsage(
        nanos=time.time_ns(),
        cgroup=cgroup_stats.read(here.cgroups, container.intent.cgroup),
        pressure=_pressure(here, container.intent.cgroup),
        layer=layer,
    )


def memory_of(here: world.World, container: records.Container) -> int:
    """The working set of now, without a look at the disk."""
    return cgroup_stats.read(here.cgroups, container.intent.cgroup).working_set_bytes


def of_sandbox(here: world.World, sandbox: records.Sandbox) -> SandboxUsage:
    """Figures of now."""
    return SandboxUsage(
        nanos=time.time_ns(),
        cgroup=cgroup_stats.read(here.cgroups, sandbox.intent.cgroup),
        pressure=_pressure(here, sandbox.intent.cgroup),
        interfaces=_interfaces(sandbox.facts.pid) if sandbox.ready and sandbox.facts.ips else (),
    )


def _pressure(here: world.World, cgroup: str) -> Mapping[str, pressure.Pressure]:
    return pressure.read(here.cgroups.folder("", cgroup)) if here.cgroups.version == 2 else {}


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
        if name.strip() != "lo" and len(numbers) >= len(_NET_DEV):
            found.append(Interface(name=name.strip(), **{field: number for field, number in zip(_NET_DEV, numbers, strict=False) if field}))
    return tuple(sorted(found, key=lambda interface: interface.name != "eth0"))

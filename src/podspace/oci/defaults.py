"""What every container gets unless its config says otherwise: mounts, masked paths, limits on devices.

Pure tables, called by ``runtime`` when it writes an OCI spec. Source: OCI runtime-spec config.md, config-linux.md; containerd's defaults.
"""

from __future__ import annotations

from typing import Any

VERSION = "1.0.2"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def mount(destination: str, fstype: str, source: str, *options: str) -> dict[str, Any]:
    """One entry of ``mounts``."""
    return {"destination": destination, "type": fstype, "source": source, "options": list(options)}


def bind(source: str, destination: str, *options: str) -> dict[str, Any]:
    """A bind mount."""
    return mount(destination, "bind", source, *options)


def mounts(*, privileged: bool) -> list[dict[str, Any]]:
    """The kernel's file systems. The order matters: parents first."""
    access = "rw" if privileged else "ro"
    return [
        mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", access),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", access),
    ]


def device_rules(*, privileged: bool) -> list[dict[str, Any]]:
    """The base of ``linux.resources.devices``; the OCI runtime adds /dev/null and its like by itself."""
    return [{"allow": privileged, "access": "rwm"}]

"""Device nodes of a container and the cgroup's rules for them. Looks at the nodes on the host; changes nothing.

Called by ``spec_container``. Source: OCI runtime-spec config-linux.md; containerd's oci.WithDevices (a folder stands for what is in it).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.oci import defaults
from podspace.runtime import model

_OWN_DEVICES = frozenset({"console", "null", "zero", "full", "random", "urandom", "tty", "ptmx"})  # the OCI runtime makes these
_NOT_DEVICES = frozenset({"pts", "shm", "fd", "mqueue", ".udev", ".lxc", ".lxd-mounts"})


def nodes(config: model.ContainerConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """``linux.devices`` and ``linux.resources.devices``. Raises: FailedPrecondition, OSError."""
    rules = defaults.device_rules(privileged=config.security.privileged)
    wanted = [(device.permissions, *pair) for device in config.devices for pair in _expanded(config.name, device)]
    found = [node(source, destination) for _, source, destination in wanted]
    if config.security.privileged:
        return found + [node(path, str(path)) for path in host_devices()], rules
    for made, (permissions, _, _) in zip(found, wanted, strict=True):
        rules.append(rule(made, permissions))
    return found, rules


def _expanded(name: str, device: model.Device) -> Iterator[tuple[Path, str]]:
    """The device, or every one in the folder."""
    mode = os.stat(device.source).st_mode
    if stat.S_ISDIR(mode):
        for path in host_devices(device.source):
            yield path, f"{device.destination.rstrip('/')}/{path.relative_to(device.source)}"
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        yield device.source, device.destination
    else:
        raise errors.FailedPrecondition(f"container {name}: {device.source} is not a device")


def node(source: Path, destination: str) -> dict[str, Any]:
    """One of the host's nodes as an entry of ``linux.devices``."""
    status = os.stat(source)
    return {
        "path": destination,
        "type": "b" if stat.S_ISBLK(status.st_mode) else "c",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def rule(made: dict[str, Any], permissions: str) -> dict[str, Any]:
    """What the cgroup lets a container do with a node."""
    return {"allow": True, "type": made["type"], "major": made["major"], "minor": made["minor"], "access": permissions}


def host_devices(folder: Path = Path("/dev")) -> list[Path]:
    """Every device node in a folder of the host, but those a container has of its own."""
    found: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NOT_DEVICES:
                    found += host_devices(Path(entry.path))
            elif entry.name not in _OWN_DEVICES and not entry.is_symlink():
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    found.append(Path(entry.path))
    return sorted(found)

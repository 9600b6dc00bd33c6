"""Linux capabilities: their names, the default set, and what add and drop make of it.

Pure, called by ``runtime`` when it writes an OCI spec. Source: capabilities(7); containerd's default set; OCI runtime-spec config.md.
"""

from __future__ import annotations

from collections.abc import Sequence

_ALL = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST
    NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
    SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
    BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE
"""
NAMES = tuple(f"CAP_{name}" for name in _ALL.split())  # in the kernel's numbering: bit n of a mask is the n-th name
DEFAULT = tuple(f"CAP_{name}" for name in _DEFAULT.split())


def of_mask(mask: int) -> tuple[str, ...]:
    """Names of a mask as /proc/<pid>/status prints it."""
    return tuple(name for bit, name in enumerate(NAMES) if mask >> bit & 1)


def resolve(*, add: Sequence[str], drop: Sequence[str], privileged: bool, available: Sequence[str]) -> tuple[str, ...]:
    """Return the set a container gets, in the kernel's order, limited to what this machine can give (``available``).

    Names come with or without "CAP_"; "ALL" is everything. A name that is both added and dropped is dropped, unless it was added
    by name and dropped by "ALL". Source: cri-api api.proto Capability.
    """
    if privileged:
        return tuple(name for name in NAMES if name in available)
    added, dropped = {qualified(name) for name in add}, {qualified(name) for name in drop}
    wanted = set(NAMES) if "CAP_ALL" in added else set(DEFAULT)
    if "CAP_ALL" in dropped:
        wanted = set()
    wanted |= added - {"CAP_ALL"}
    wanted -= dropped
    return tuple(name for name in NAMES if name in wanted and name in available)


def qualified(name: str) -> str:
    """``sys_ptrace`` and ``CAP_SYS_PTRACE`` are the same."""
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def oci(names: Sequence[str], *, ambient: Sequence[str] = ()) -> dict[str, list[str]]:
    """The ``process.capabilities`` object.

    Nothing is inheritable or ambient but what is asked for: a file or another uid does not regain them by itself.
    """
    listed = list(names)
    kept = [name for name in names if name in set(map(qualified, ambient))]
    more = {"inheritable": kept, "ambient": kept} if kept else {}
    return {"bounding": listed, "effective": listed, "permitted": listed, **more}

"""A view of the mounts of our own, for machines whose cgroups are half v1 and half v2.

crun refuses such a *hybrid* machine as soon as it sees a v2 mount beside the v1 ones. In a mount namespace of our own that mount is
taken away, and nobody else on the machine notices. Our overlay mounts then live in that namespace too and vanish with its last process.
Called once by the daemon, before any thread is there; ``runtime.view`` decides whether it is needed.
Source: mount_namespaces(7), setns(2).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from podspace.linux import cgroups, mounts, syscalls


def enter_private_view(adopt_from: Iterable[int]) -> None:
    """Move this process into a mount namespace without the v2 mount: that of the first of these pids that lives, else a new one.

    Call while single-threaded (setns(2) refuses otherwise). Raises: OSError.
    """
    if any(_join(pid) for pid in adopt_from):
        return
    syscalls.unshare(syscalls.CLONE_NEWNS)
    # slave, not private: what the host mounts later is seen here, what is mounted here is not seen there
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
    for target in mounts.below(cgroups.UNIFIED):
        syscalls.umount2(target, syscalls.MNT_DETACH)


def _join(pid: int) -> bool:
    """False when the process is gone: it may end at any moment."""
    try:
        fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return False
    try:
        if os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/mnt")):
            return True
        folder = os.getcwd()
        syscalls.setns(fd, syscalls.CLONE_NEWNS)
    finally:
        os.close(fd)
    os.chdir(folder if os.path.isdir(folder) else "/")  # setns moved us to the namespace's root
    return True

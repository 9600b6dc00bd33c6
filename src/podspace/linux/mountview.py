"""The host's mounts without the v2 cgroups beside the v1 ones, for a program that minds: crun refuses such a *hybrid* machine.

The server stays in the host's mount namespace, where a kubelet mounts volumes and everybody sees our overlays. A view is made of what
is mounted at that moment for one program that is started in it, and is gone with it: about 0.1 ms, and no mount is kept busy for longer.
Everything but the hidden mount has the propagation it has on the host, so that a container's shared mounts reach it.
Called by ``oci``; ``runtime.oci_choice`` decides whether it is needed. Source: mount_namespaces(7), setns(2), unshare(2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from podspace.linux import cgroups, syscalls

_OWN = "/proc/thread-self/ns/mnt"  # /proc/self would be the main thread's


@contextlib.contextmanager
def entered() -> Iterator[None]:
    """Have this thread, and nobody else of the process, in a new view: what it starts inherits that. Raises: OSError.

    Inside start no thread and await nothing.
    """
    with _opened(_OWN, os.O_RDONLY) as home, _opened(".", os.O_PATH | os.O_DIRECTORY) as folder:
        syscalls.unshare(syscalls.CLONE_NEWNS)  # the working folder is then this thread's alone, too, which setns(2) demands
        try:
            _hide()
            yield
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWNS)
            os.fchdir(folder)  # setns moved us to the root


def open_one() -> int:
    """A descriptor of a new view, which lives as long as that. Raises: OSError."""
    with entered():
        return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _hide() -> None:
    """Cover it with an empty file system. It leaves its peer group first: else it would be covered on the host as well.

    Not just unmounted: crun makes cgroups wherever /proc/self/cgroup tells it to, and they would pile up in the host's folder below.
    """
    syscalls.mount(None, str(cgroups.UNIFIED), None, syscalls.MS_SLAVE)
    syscalls.mount("none", str(cgroups.UNIFIED), "tmpfs", 0, "size=1m,mode=755")

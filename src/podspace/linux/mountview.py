"""The host's mounts without the v2 cgroups beside the v1 ones, for a program that minds: crun refuses such a *hybrid* machine.

The server stays in the host's mount namespace, where a kubelet mounts volumes and everybody sees our overlays. A program that looks at
mounts gets a *fresh* view, made of what is mounted at that moment; one that does not gets the *bare* one, which holds next to nothing and
so keeps no mount busy, however long it is used. In a fresh view everything but the hidden mount has the propagation it has on the host,
so that a container's shared mounts reach it.
Called by ``oci``; ``runtime.oci_choice`` decides whether it is needed. Source: mount_namespaces(7), setns(2), unshare(2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from podspace.linux import cgroups, mounts, syscalls

_OWN = "/proc/thread-self/ns/mnt"  # /proc/self would be the main thread's
_SYSTEM = ("/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc")  # what any program may need


def fresh() -> int:
    """A descriptor of a new view, which lives as long as that and what was started in it.

    Closing it may take a while: the kernel takes the namespace apart. Raises: OSError.
    """
    return _make(_hide)


def bare(needed: Iterable[Path]) -> int:
    """A descriptor of a view with the system's own file systems and those that these paths are on. Raises: OSError."""
    places = [str(path.resolve()) for path in needed]

    def strip() -> None:
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        for target in reversed([entry.target for entry in mounts.table()]):
            if not is_kept(target, places):
                with contextlib.suppress(OSError):  # hidden by another mount, or gone with one
                    syscalls.umount2(target, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        _hide()

    return _make(strip)


def is_kept(target: str, places: Iterable[str]) -> bool:
    """Whether a bare view keeps what is mounted there."""
    if target == "/" or any(_holds(system, target) for system in _SYSTEM):
        return True
    return any(_holds(target, place) for place in places)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


@contextlib.contextmanager
def inside(view: int) -> Iterator[None]:
    """Have this thread, and nobody else of the process, in a view: what it starts inherits that. Raises: OSError.

    Inside start no thread and await nothing.
    """
    with _leaving_home():
        syscalls.setns(view, syscalls.CLONE_NEWNS)
        yield


@contextlib.contextmanager
def _leaving_home() -> Iterator[None]:
    with _opened(_OWN, os.O_RDONLY) as home, _opened(".", os.O_PATH | os.O_DIRECTORY) as folder:
        syscalls.unshare(syscalls.CLONE_FS)  # setns(2) demands that the working folder be this thread's alone
        try:
            yield
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWNS)
            os.fchdir(folder)  # setns moved us to the root


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _make(change: Callable[[], None]) -> int:
    with _leaving_home():
        syscalls.unshare(syscalls.CLONE_NEWNS)
        change()
        return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def _hide() -> None:
    """Cover it with an empty file system. It leaves its peer group first: else it would be covered on the host as well.

    Not just unmounted: crun makes cgroups wherever /proc/self/cgroup tells it to, and they would pile up in the host's folder below.
    """
    syscalls.mount(None, str(cgroups.UNIFIED), None, syscalls.MS_SLAVE)
    syscalls.mount("none", str(cgroups.UNIFIED), "tmpfs", 0, "size=1m,mode=755")

"""Mounts: overlay roots and small tmpfs, made and undone by system call.

Called by ``runtime`` (in a thread when it may take long). Knows folders, not containers.
Source: mount(2), Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from podspace.linux import syscalls

_OPTION_BYTES = 4000  # mount(2) copies at most one page of options
_SPECIAL = set(':,\\"')


@dataclass(frozen=True, slots=True, kw_only=True)
class MountEntry:
    """A line of mountinfo. ``root`` is the folder of the file system that is mounted at ``target``."""

    root: str
    target: str
    fstype: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]


def parse_mountinfo(text: str) -> list[MountEntry]:
    """Source: proc(5), /proc/pid/mountinfo."""
    entries = []
    for line in filter(None, text.split("\n")):  # splitlines would cut at characters that a path may hold
        left, _, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        entries.append(
            MountEntry(
                root=_unescape(fields[3]),
                target=_unescape(fields[4]),
                fstype=tail[0],
                options=tuple(tail[2].split(",")) if len(tail) > 2 else (),
                propagation=tuple(fields[6:]),
            )
        )
    return entries


_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


def _unescape(text: str) -> str:
    if "\\" in text:
        for code, char in _ESCAPES:
            text = text.replace(code, char)
    return text


def _escape(text: str) -> str:
    for code, char in reversed(_ESCAPES):
        text = text.replace(char, code)
    return text


def table() -> list[MountEntry]:
    """Every mount this thread sees; the main one may be in a ``mountview``."""
    return parse_mountinfo(_mountinfo())


def _mountinfo() -> str:
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def below(*folders: Path) -> list[str]:
    """Mount points at or under some folders, deepest (and latest) first: the order to unmount them in."""
    return targets_below(_mountinfo(), _real(folders))


def _real(folders: Sequence[Path]) -> list[Path]:
    """As the kernel names them: a server's folder may lie behind a symlink. The last name is not followed."""
    return [Path(os.path.realpath(folder.parent), folder.name) for folder in folders]


def targets_below(mountinfo: str, folders: Sequence[Path]) -> list[str]:
    """The same of a text: a machine with many Pods has many lines, and few are of interest."""
    places = tuple(map(str, folders))
    prefixes = tuple(f"{place}/" for place in places)
    marks = [_escape(place) for place in places]
    lines = [line for line in mountinfo.split("\n") if any(mark in line for mark in marks)]
    entries = parse_mountinfo("\n".join(lines))
    return [entry.target for entry in entries if entry.target in places or entry.target.startswith(prefixes)][::-1]


def holding(path: Path, entries: Sequence[MountEntry]) -> MountEntry | None:
    """The mount a path (without symlinks) is on: of those at one place the latest."""
    text = str(path)
    over = [entry for entry in entries if text == entry.target or text.startswith(entry.target.rstrip("/") + "/")]
    return max(reversed(over), key=lambda entry: len(entry.target), default=None)


def fstype(path: Path) -> str:
    """The kind of file system a path is on."""
    place = holding(path.resolve(), table())
    return place.fstype if place else "unknown"


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly there."""
    return str(_real([target])[0]) in below(target)


def unmount(target: Path) -> None:
    """Unmount, lazily if a process still uses it. Nothing mounted, or nothing there: fine."""
    try:
        syscalls.umount2(str(target), syscalls.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.EBUSY:
            syscalls.umount2(str(target), syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)
        elif error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def detach(target: Path) -> None:
    """Unmount lazily, with all that is mounted in it. Nothing mounted, or nothing there: fine."""
    try:
        syscalls.umount2(str(target), syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def unmount_below(*folders: Path) -> None:
    """Unmount everything at and under some folders; what lies there of the host keeps what is mounted in it on the host."""
    mountinfo = _mountinfo()
    targets = targets_below(mountinfo, _real(folders))
    for target in twins(mountinfo, targets):
        with contextlib.suppress(OSError):  # it is gone
            syscalls.mount(None, target, None, syscalls.MS_PRIVATE)
    for target in targets:
        unmount(Path(target))


def twins(mountinfo: str, targets: Sequence[str]) -> list[str]:
    """Those of some mount points that have others below them and a peer that is none of them.

    Who unmounts what is below one unmounts it below its peers too: with a part of a shared folder of the host, the host's own disks.
    """
    parents = {target for target in targets if any(other.startswith(f"{target}/") for other in targets)}
    if not parents:
        return []
    entries = parse_mountinfo(mountinfo)
    elsewhere = {mark for entry in entries if entry.target not in targets for mark in _peers(entry)}
    return [entry.target for entry in entries if entry.target in parents and not elsewhere.isdisjoint(_peers(entry))]


def _peers(entry: MountEntry) -> Iterator[str]:
    return (mark for mark in entry.propagation if mark.startswith("shared:"))


_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def tmpfs(
    target: Path, *, size_bytes: int, mode: int = 0o1777, owner: int = 0, group: int = 0, flags: int = _QUIET, swap: bool = True
) -> None:
    """Mount an empty tmpfs; 0 bytes = without limit. ``swap`` False: never written to a disk, where the kernel knows how (6.4)."""
    options = f"mode={mode:o},uid={owner},gid={group},size={size_bytes}"
    if not swap:
        try:
            syscalls.mount("tmpfs", str(target), "tmpfs", flags, f"{options},noswap")
            return
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    syscalls.mount("tmpfs", str(target), "tmpfs", flags, options)


def hugetlbfs(target: Path, *, page_bytes: int, mode: int, group: int = 0) -> None:
    """Mount an empty file system of huge pages."""
    syscalls.mount("nodev", str(target), "hugetlbfs", 0, f"pagesize={page_bytes},mode={mode:o},gid={group}")


def overlay(target: Path, *, layers: Sequence[Path], upper: Path, work: Path) -> None:
    """Mount an overlay; ``layers`` lowest first, as images have them.

    ``volatile``: nothing is synced to disk, neither by the container nor at unmount. A container's root does not outlive a reboot anyway.
    """
    with _lowerdir(layers) as lower:
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        try:
            syscalls.mount("overlay", str(target), "overlay", 0, options + ",volatile")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            syscalls.mount("overlay", str(target), "overlay", 0, options)


@functools.cache
def knows_recursive_readonly() -> bool:
    """Whether the kernel makes a mount read-only with all below it (Linux 5.12, mount_setattr(2))."""
    try:
        syscalls.mount_setattr(-1)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def overlay_readonly(target: Path, *, layers: Sequence[Path]) -> None:
    """Mount an overlay nobody can write to; at least two ``layers``, lowest first (the kernel takes no less)."""
    with _lowerdir(layers) as lower:
        syscalls.mount("overlay", str(target), "overlay", syscalls.MS_RDONLY | syscalls.MS_NODEV, f"lowerdir={lower}")


@contextlib.contextmanager
def _lowerdir(layers: Sequence[Path]) -> Iterator[str]:
    """The option's value, topmost layer first: as paths, or where those are too long or hold separators as /proc/self/fd/N."""
    names = [str(layer) for layer in reversed(layers)]
    plain = ":".join(names)
    if len(os.fsencode(plain)) < _OPTION_BYTES - 1024 and not any(_SPECIAL & set(name) for name in names):
        yield plain
        return
    opened = [os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for name in names]
    try:
        yield ":".join(f"/proc/self/fd/{fd}" for fd in opened)
    finally:
        for fd in opened:
            os.close(fd)

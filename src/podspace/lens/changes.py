"""What a container changed in its root since its image: read from the overlay's upper folder, beside the image's layers.

Called by ``service`` in a thread. Volumes and the files podspace mounts are no changes. Names in the layers are looked up without following
any symlink, as overlayfs itself does it.   Source: Documentation/filesystems/overlayfs.rst (whiteouts, opaque directories).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from podspace.kube.json import JSON
from podspace.lens import safetext
from podspace.linux import idmap, inroot, mounts

LIMIT = 20_000
_OPAQUE = b"trusted.overlay.opaque"


def mount_points(pid: int) -> frozenset[bytes]:
    """Where something is mounted in a process's root."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return frozenset(os.fsencode(entry.target) for entry in mounts.parse_mountinfo(file.read()))


def since_image(upper: Path, layers: Sequence[Path], mounted: Collection[bytes], below: str = "/", ids: idmap.IdMap = idmap.HOST) -> JSON:
    """``PodChanges``' status: {"changes": [{"path", "change": Added|Changed|Deleted, "kind", "size"}], "truncated"}.

    ``ids``: those of the container, which wrote ``upper``; the image's layers are without a user namespace.
    """
    with contextlib.ExitStack() as stack:
        lower = [_folder(stack, layer) for layer in reversed(layers)]  # the topmost decides
        top = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        prefix = os.fsencode(below.rstrip("/"))
        found: list[JSON] = []
        for change in _walk(top, b"", lower, mounted, ids):
            path = change[0]
            if prefix and path != prefix and not path.startswith(prefix + b"/"):
                continue
            if len(found) >= LIMIT:
                return {"changes": found, "truncated": True}
            found.append(_shown(*change))
    return {"changes": found, "truncated": False}


def _folder(stack: contextlib.ExitStack, path: Path) -> int:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _walk(
    fd: int, path: bytes, lower: Sequence[int], mounted: Collection[bytes], ids: idmap.IdMap
) -> Iterator[tuple[bytes, str, os.stat_result]]:
    """Takes the descriptor over. ``lower`` is empty below what hides the image's."""
    try:
        for name in sorted(os.fsencode(name) for name in os.listdir(fd)):
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            own = path + b"/" + name
            if own in mounted:  # made by the OCI runtime to mount on
                continue
            before = below(lower, own)
            if _is_whiteout(status):
                yield own, "Deleted", before or status
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield own, "Changed" if before else "Added", status
                continue
            with contextlib.suppress(OSError):
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                opaque = _is_opaque(child)
                inner = list(_walk(child, own, () if opaque else lower, mounted, ids))
                if before is None:
                    if inner or not _holds_mounts(own, mounted):
                        yield own, "Added", status
                elif opaque or not _same(before, status, ids):
                    yield own, "Changed", status
                yield from inner
    finally:
        os.close(fd)


def below(lower: Sequence[int], path: bytes) -> os.stat_result | None:
    """What the image has at a path, None if nothing: the first layer from above that knows it decides."""
    for layer in lower:
        try:
            fd = inroot.open_at(layer, os.fsdecode(path), os.O_PATH | os.O_NOFOLLOW, follow=False)
        except OSError:
            continue
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        return None if _is_whiteout(status) else status
    return None


def _same(before: os.stat_result, now: os.stat_result, ids: idmap.IdMap) -> bool:
    """A folder is copied up whenever something in it changes: only its own rights and owner count."""
    return (before.st_mode, before.st_uid, before.st_gid) == (now.st_mode, *ids.shown(now.st_uid, now.st_gid))


def _holds_mounts(path: bytes, mounted: Collection[bytes]) -> bool:
    return any(target.startswith(path + b"/") for target in mounted)


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError:
        return False


def _shown(path: bytes, change: str, status: os.stat_result) -> JSON:
    gone = change == "Deleted" and _is_whiteout(status)
    kind = "" if gone else stat.filemode(status.st_mode)
    return {"path": safetext.decoded(path), "change": change, "mode": kind, "size": 0 if change == "Deleted" else status.st_size}

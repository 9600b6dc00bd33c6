"""``subPath`` and ``subPathExpr``: a part of a volume as a mount's source, however hostile what lies in the volume is.

A container may fill its volume with symlinks and swap them at any moment, so a path that was looked at is worth nothing. The kernel
resolves the part below the volume's root (openat2(2), RESOLVE_BENEATH), and what the descriptor then stands for is bound to a place
in the Pod's own folder, where nobody else writes: that place is what the OCI runtime is given. Called in a thread by ``starting``.
Source: kubelet pkg/kubelet/kubelet_pods.go makeMounts, mount-utils subpath_linux.go (CVE-2017-1002101).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from podspace.kube.json import JSON
from podspace.linux import mounts, syscalls
from podspace.node import environment
from podspace.node.environment import ConfigError
from podspace.node.pod import Container

log = logging.getLogger(__name__)
FOLDER = "volume-subpaths"
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS


def wanted(container: Container, variables: Mapping[str, str]) -> dict[int, str]:
    """Index of a volume mount -> the part of its volume that it shows, for those that do not show all of it. Pure.

    Raises: ConfigError in the kubelet's words.
    """
    found = {index: _part(mount, variables) for index, mount in enumerate(container.raw.get("volumeMounts") or ())}
    return {index: part for index, part in found.items() if part}


def _part(mount: JSON, variables: Mapping[str, str]) -> str:
    part = mount.get("subPath") or ""
    if expression := mount.get("subPathExpr"):
        missing = sorted(name for name in environment.references(expression) if not variables.get(name))
        if missing:
            raise ConfigError(f"missing value for {', '.join(missing)}")
        part = environment.expand(expression, variables)
    if part.startswith("/"):
        raise ConfigError(f"error SubPath `{part}` must not be an absolute path")
    if ".." in part.split("/"):
        raise ConfigError(f"unable to provision SubPath `{part}`: must not contain '..'")
    return part


def bind(home: Path, container: Container, volumes: Mapping[str, Path], parts: Mapping[int, str]) -> dict[int, Path]:
    """Make what ``wanted`` named and return index -> a host path that stands for it until the Pod goes. Idempotent.

    ``home``: the Pod's folder. What an earlier instance of the container had there is taken away first.
    Raises: ConfigError without detail, which could tell a container of the host's files; that is logged.
    """
    made = {}
    for index, part in parts.items():
        name = container.raw["volumeMounts"][index]["name"]
        target = home / FOLDER / name / container.name / str(index)
        where = f'for volumeMount "{name}" of container "{container.name}"'
        with _told(f"failed to prepare subPath {where}"):
            part = _inside(volumes[name], part)
        with _told(f"failed to create subPath directory {where}"):
            _make(volumes[name], part)
        with _told(f"failed to prepare subPath {where}"):
            _bind(volumes[name], part, target)
        made[index] = target
    return made


@contextlib.contextmanager
def _told(message: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.warning("%s: %s", message, error)
        raise ConfigError(message) from error


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, *, root: int | None = None) -> Iterator[int]:
    """A descriptor; below ``root``, and nowhere else, if there is one."""
    fd = os.open(path, flags | os.O_CLOEXEC) if root is None else syscalls.openat2(root, str(path), flags, resolve=_BENEATH)
    try:
        yield fd
    finally:
        os.close(fd)


def _inside(volume: Path, part: str) -> str:
    """The part itself; or, where absolute links in the volume lead back into it, as the host reads them, the part without links.

    Only a hint: whatever it says is opened below the volume's root and nowhere else.  Raises: OSError (EXDEV) if it leads out.
    """
    with _opened(volume, os.O_PATH) as root:
        try:
            _exists(root, part)
            return part
        except OSError as error:
            base, path = os.path.realpath(volume), os.path.realpath(volume / part)
            if error.errno != errno.EXDEV or os.path.commonpath((base, path)) != base:
                raise
            return os.path.relpath(path, base)


def _make(volume: Path, part: str) -> None:
    """Make the folders that are missing, each with the volume's own mode; what is there is left alone, whatever it is."""
    with _opened(volume, os.O_PATH) as root:
        if _exists(root, part):
            return
        mode = stat.S_IMODE(os.fstat(root).st_mode)
        with contextlib.ExitStack() as stack:
            parent, done = root, ""
            for name in [name for name in part.split("/") if name not in ("", ".")]:
                done = f"{done}/{name}" if done else name
                fresh = not _exists(root, done)
                if fresh:
                    os.mkdir(name, mode, dir_fd=parent)
                flags = os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if fresh else 0)
                base, path = (parent, name) if fresh else (root, done)
                parent = stack.enter_context(_opened(path, flags, root=base))
                if fresh:
                    os.fchmod(parent, mode)  # whatever the umask was


def _exists(root: int, part: str) -> bool:
    try:
        with _opened(part, os.O_PATH, root=root):
            return True
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise


def _bind(volume: Path, part: str, target: Path) -> None:
    with _opened(volume, os.O_PATH) as root, _opened(part, os.O_PATH, root=root) as found:
        mounts.unmount_below(target)
        _make_target(target, folder=stat.S_ISDIR(os.fstat(found).st_mode))
        syscalls.mount(f"/proc/self/fd/{found}", str(target), None, syscalls.MS_BIND)


def _make_target(target: Path, *, folder: bool) -> None:
    """A mount needs a place of its own kind."""
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if target.exists() and target.is_dir() != folder:
        target.rmdir() if target.is_dir() else target.unlink()
    target.mkdir(mode=0o750, exist_ok=True) if folder else target.touch(mode=0o640)

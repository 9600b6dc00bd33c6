"""The folders of emptyDir and hostPath volumes: made, or checked, in the kubelet's words. Called by ``volumes`` in a thread.

Source: kubelet pkg/volume/{emptydir,hostpath}.
"""

from __future__ import annotations

import stat
from pathlib import Path

from podspace.kube.json import JSON
from podspace.linux import mounts
from podspace.node import resources, volume_ownership
from podspace.node.environment import ConfigError
from podspace.node.pod import Pod

_CHECKS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "FileOrCreate": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}
_HUGE = "HugePages"
_EMPTY_MODE = 0o777


def host_path(source: JSON) -> Path:
    """The path as it is, after its type has been checked.  Raises: ConfigError, OSError."""
    path, kind = Path(source["path"]), source.get("type") or ""
    if not path.is_absolute():
        raise ConfigError(f"hostPath {path} is not an absolute path")
    if kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif kind in ("DirectoryOrCreate", "") and not path.exists():  # without a type: as containerd makes it at the last moment
        path.mkdir(mode=0o755, parents=True)
    if kind:
        matches, name = _CHECKS[kind]
        if not path.exists() or not matches(path.stat().st_mode):
            raise ConfigError(f"hostPath type check failed: {path} is not a {name}")
    return path


def empty_dir(path: Path, pod: Pod, source: JSON, *, node_memory_bytes: int, group: int | None) -> None:
    """Make the folder once; later its mode and what is in it are the containers' own affair. Idempotent.

    Raises: ConfigError, OSError.
    """
    medium = source.get("medium") or ""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.new")
        fresh.mkdir(parents=True, exist_ok=True)
        fresh.chmod(_EMPTY_MODE)  # whatever the umask was
        if not medium:
            volume_ownership.give(fresh, group)
        fresh.rename(path)
    if not medium or path.is_mount():
        return
    if medium == "Memory":
        size = memory_size(pod.spec, source, node_memory_bytes)
        mounts.tmpfs(path, size_bytes=size, mode=_mode(0o1777, group), group=group or 0, flags=0, swap=False)
    elif medium.startswith(_HUGE):
        mounts.hugetlbfs(path, page_bytes=_page_bytes(pod.spec, medium), mode=_EMPTY_MODE, group=group or 0)
        path.chmod(_mode(_EMPTY_MODE, group))  # hugetlbfs takes no setgid when it is mounted
    else:
        raise ConfigError(f'unknown storage medium "{medium}"')


def _mode(mode: int, group: int | None) -> int:
    return mode if group is None else volume_ownership.shared_mode(mode, folder=True)


def memory_size(spec: JSON, source: JSON, node_memory_bytes: int) -> int:
    """Bytes an emptyDir in memory may hold: what it says, unless the Pod or the node has less (KEP-1967)."""
    limits = [resources.bytes_of(source.get("sizeLimit")), resources.pod_memory_limit_bytes(spec), node_memory_bytes]
    return min((limit for limit in limits if limit > 0), default=0)


def _page_bytes(spec: JSON, medium: str) -> int:
    """The page size of a HugePages medium; without one in its name, the one size the Pod asks for."""
    named = resources.bytes_of(medium.removeprefix(f"{_HUGE}-")) if medium != _HUGE else 0
    asked = resources.huge_page_sizes(spec)
    if named:
        asked &= {named}
    if len(asked) > 1:
        raise ConfigError(f"medium: {medium} can't be used if container requests multiple huge page sizes")
    if not asked:
        raise ConfigError(f"medium {medium}: hugePages storage requested, but there is no resource request for huge pages")
    return asked.pop()

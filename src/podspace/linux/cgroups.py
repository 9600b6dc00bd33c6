"""Control groups, version 1 and 2 behind one interface.

The OCI runtime makes a container's cgroup; this makes the sandbox's above it, finds what is left in one, kills it, and removes it.
Called by ``runtime``. A *path* is relative to every hierarchy's root and begins with a slash ("/podspace/pod1/c1").
Source: cgroups(7), Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from podspace.linux import mounts, pidfd

ROOT = Path("/sys/fs/cgroup")
UNIFIED = ROOT / "unified"


class Mode(StrEnum):
    V1 = "v1"
    V2 = "v2"
    HYBRID = "hybrid"  # controllers on v1, and an (empty) v2 hierarchy beside them
    NONE = "none"


def mode(table: Sequence[mounts.MountEntry]) -> Mode:
    """What kind of machine a mount table shows."""
    v1 = any(entry.fstype == "cgroup" for entry in table)
    v2 = [entry.target for entry in table if entry.fstype == "cgroup2"]
    if v1:
        return Mode.HYBRID if any(target.startswith(str(ROOT)) for target in v2) else Mode.V1
    return Mode.V2 if str(ROOT) in v2 else Mode.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a whole cgroup; 0 = none. ``huge_pages_named_only``: none of the sizes of pages that are not named."""

    cpu_shares: int = 0
    cpu_quota_micros: int = 0
    cpu_period_micros: int = 0
    memory_limit_bytes: int = 0
    pids_limit: int = 0
    hugepage_limit_bytes: Mapping[str, int] = field(default_factory=dict)
    huge_pages_named_only: bool = False


class Cgroups(Protocol):
    """One machine's cgroups."""

    version: int

    def create(self, path: str, limits: Limits) -> None:
        """Make the cgroup (and its parents) and set the limits. Idempotent."""

    def adjust(self, path: str, limits: Limits) -> None:
        """Change limits of a cgroup that is there; what is 0 stays as it is. Raises: OSError."""

    def exists(self, path: str) -> bool:
        """Whether there is such a cgroup in any hierarchy."""

    def processes(self, path: str) -> list[int]:
        """Pids in the cgroup and in those below it."""

    def children(self, path: str) -> list[str]:
        """Paths of the cgroups directly below."""

    def oom_kills(self, path: str) -> int:
        """How many processes of the cgroup the kernel has killed for memory."""

    async def kill(self, path: str) -> None:
        """SIGKILL everything in the cgroup and below, and return when all of it is gone."""

    def expect_moves(self) -> None:
        """Have the kernel's lock for moving processes between cgroups ready when the OCI runtime needs it; blocks for some 10 ms.

        Its readers are cheap, so its first writer after a while waits for an RCU grace period, which this does. Nothing is moved.
        Source: kernel/cgroup/cgroup.c cgroup_attach_lock, include/linux/rcu_sync.h.
        """

    def remove(self, path: str) -> None:
        """Remove the cgroup and those below it. Not there: fine. Raises: OSError(EBUSY) while a process is in it."""

    def prune(self, path: str) -> None:
        """Remove the cgroup if nothing is in or below it."""

    def folder(self, controller: str, path: str) -> Path | None:
        """Where a controller's files of the cgroup are (``cpu``, ``memory``, ``cpuacct``); None when there is no such controller."""


def detect() -> Cgroups:
    """The implementation for what this process sees mounted now."""
    table = mounts.table()
    return V2() if mode(table) is Mode.V2 else V1(hierarchies(table))


def usable_controllers(root: Path = ROOT) -> list[str]:
    """Controllers of cgroup v2 that cgroups below the root can have; they are handed on if they were not.

    Fewer than the machine's where the root is that of a cgroup namespace with processes in it: there memory and io are refused.
    """
    _delegate(root)
    return _read(root / "cgroup.subtree_control").split()


def hierarchies(table: Sequence[mounts.MountEntry]) -> dict[str, Path]:
    """Mounted v1 hierarchies by controller (or ``name=...``); on a hybrid machine also the v2 one, as ``unified``: runc uses it too."""
    found: dict[str, Path] = {}
    for entry in table:
        if entry.fstype == "cgroup":
            for option in entry.options:
                if option not in ("rw", "ro", "xattr", "clone_children"):
                    found.setdefault(option, Path(entry.target))
        elif entry.fstype == "cgroup2" and entry.target.startswith(f"{ROOT}/"):
            found.setdefault("unified", Path(entry.target))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _limit_huge_pages(folder: Path, name: str, limits: Limits) -> None:
    """``hugetlb.2MB.max`` and its like."""
    for size, value in limits.hugepage_limit_bytes.items():
        _write(folder / f"hugetlb.{size}.{name}", str(value))
    for file in folder.glob(f"hugetlb.*.{name}") if limits.huge_pages_named_only else ():
        size = file.name.split(".")[1]
        if size not in limits.hugepage_limit_bytes and file.name == f"hugetlb.{size}.{name}":  # none of "reserved" ones
            _write(file, "0")


def _walk(folder: Path) -> Iterator[Path]:
    """The folder's cgroups, deepest first, itself last. It may vanish meanwhile."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if entry.is_dir(follow_symlinks=False)]:
            yield from _walk(Path(entry.path))
    yield folder


def _remove_tree(folder: Path) -> None:
    for cgroup in _walk(folder):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(cgroup)


def _prune(folder: Path) -> None:
    with contextlib.suppress(OSError):  # EBUSY, ENOTEMPTY: somebody is in there
        os.rmdir(folder)


def _pids(folder: Path) -> list[int]:
    pids: list[int] = []
    for cgroup in _walk(folder):
        pids.extend(int(line) for line in _read(cgroup / "cgroup.procs").split())
    return [pid for pid in pids if pid > 0]


def _counter(text: str, key: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def _delegate(folder: Path) -> None:
    """Hand every controller on to the children, one by one: one that is refused must not hold back the others."""
    have = set(_read(folder / "cgroup.subtree_control").split())
    for controller in _read(folder / "cgroup.controllers").split():
        if controller not in have:
            with contextlib.suppress(OSError):
                _write(folder / "cgroup.subtree_control", f"+{controller}")


def _stay(roots: Mapping[str, Path]) -> None:
    """Move this process to where it is. ``roots``: by controller, "" for v2's."""
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        root = roots.get(controllers.partition(",")[0])
        if root is not None:
            with contextlib.suppress(OSError):  # elsewhere in another cgroup namespace: then there is nothing to gain
                _write(root / path.lstrip("/") / "cgroup.procs", "0")
            return


def _kill_each(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class V1:
    """Controllers in hierarchies of their own; every container is in each of them under the same path."""

    version = 1

    def __init__(self, controllers: Mapping[str, Path]) -> None:
        self._controllers = dict(controllers)
        # processes are looked up in one hierarchy: one that a container cannot leave even with a v1 mount of its own
        order = ("pids", "freezer", "memory", "devices", "cpu")
        self._main = next((self._controllers[name] for name in order if name in self._controllers), ROOT)

    def _folders(self, path: str) -> list[Path]:
        roots = dict.fromkeys(self._controllers.values())
        return [root / path.lstrip("/") for root in roots]

    def _file(self, controller: str, path: str, name: str) -> Path | None:
        root = self._controllers.get(controller)
        return None if root is None else root / path.lstrip("/") / name

    def folder(self, controller: str, path: str) -> Path | None:
        root = self._controllers.get(controller)
        return None if root is None else root / path.lstrip("/")

    def create(self, path: str, limits: Limits) -> None:
        wanted = {
            "cpu": limits.cpu_shares or limits.cpu_quota_micros,
            "memory": limits.memory_limit_bytes,
            "pids": limits.pids_limit,
            "hugetlb": len(limits.hugepage_limit_bytes) or limits.huge_pages_named_only,
            self._main.name: 1,
        }
        for controller, used in wanted.items():
            if used and controller in self._controllers:
                (self._controllers[controller] / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.adjust(path, limits)

    def adjust(self, path: str, limits: Limits) -> None:
        self._set("cpu", path, "cpu.shares", limits.cpu_shares)
        self._set("cpu", path, "cpu.cfs_period_us", limits.cpu_period_micros)
        self._set("cpu", path, "cpu.cfs_quota_us", limits.cpu_quota_micros)
        self._set("memory", path, "memory.limit_in_bytes", limits.memory_limit_bytes)
        self._set("pids", path, "pids.max", limits.pids_limit)
        if (folder := self.folder("hugetlb", path)) is not None:
            _limit_huge_pages(folder, "limit_in_bytes", limits)

    def _set(self, controller: str, path: str, name: str, value: int) -> None:
        file = self._file(controller, path, name)
        if value and file is not None:
            _write(file, str(value))

    def exists(self, path: str) -> bool:
        return any(folder.is_dir() for folder in self._folders(path))

    def processes(self, path: str) -> list[int]:
        return _pids(self._main / path.lstrip("/"))

    def children(self, path: str) -> list[str]:
        names: dict[str, None] = {}
        for folder in self._folders(path):
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                names.update((entry.name, None) for entry in entries if entry.is_dir(follow_symlinks=False))
        return [f"{path.rstrip('/')}/{name}" for name in names]

    def oom_kills(self, path: str) -> int:
        file = self._file("memory", path, "memory.oom_control")
        return 0 if file is None else _counter(_read(file), "oom_kill")

    def _freeze(self, path: str, state: str) -> None:
        file = self._file("freezer", path, "freezer.state")
        if file is not None:
            with contextlib.suppress(OSError):
                _write(file, state)

    def _everywhere(self, path: str) -> list[int]:
        """A process that is being moved in is in some hierarchies already and not yet in others."""
        return list({pid for folder in self._folders(path) for pid in _pids(folder)})

    def expect_moves(self) -> None:
        _stay(self._controllers)

    async def kill(self, path: str) -> None:
        rounds = 0
        while pids := self._everywhere(path):
            if rounds:  # something forks faster than one pass: hold it still for the next
                self._freeze(path, "FROZEN")
                pids = self._everywhere(path)
            _kill_each(pids)
            self._freeze(path, "THAWED")
            await pidfd.wait_all(pids)
            rounds += 1

    def remove(self, path: str) -> None:
        for folder in self._folders(path):
            _remove_tree(folder)

    def prune(self, path: str) -> None:
        for folder in self._folders(path):
            _prune(folder)


class V2:
    """One hierarchy."""

    version = 2

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def folder(self, controller: str, path: str) -> Path | None:
        return self._folder(path)

    def _folder(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def create(self, path: str, limits: Limits) -> None:
        folder = self._root
        for part in path.strip("/").split("/"):
            _delegate(folder)
            folder = folder / part
            folder.mkdir(exist_ok=True)
        self.adjust(path, limits)

    def adjust(self, path: str, limits: Limits) -> None:
        folder = self._folder(path)
        with contextlib.suppress(FileNotFoundError, PermissionError):  # without the controller nobody has a weight, and all are alike
            self._set(folder / "cpu.weight", weight_of_shares(limits.cpu_shares))
        if limits.cpu_quota_micros:
            _write(folder / "cpu.max", f"{limits.cpu_quota_micros} {limits.cpu_period_micros or 100_000}")
        self._set(folder / "memory.max", limits.memory_limit_bytes)
        self._set(folder / "pids.max", limits.pids_limit)
        _limit_huge_pages(folder, "max", limits)

    @staticmethod
    def _set(file: Path, value: int) -> None:
        if value:
            _write(file, str(value))

    def exists(self, path: str) -> bool:
        return self._folder(path).is_dir()

    def processes(self, path: str) -> list[int]:
        return _pids(self._folder(path))

    def children(self, path: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder(path)) as entries:
            return [f"{path.rstrip('/')}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
        return []

    def oom_kills(self, path: str) -> int:
        return _counter(_read(self._folder(path) / "memory.events"), "oom_kill")

    def expect_moves(self) -> None:
        _stay({"": self._root})

    async def kill(self, path: str) -> None:
        folder = self._folder(path)
        while pids := self.processes(path):
            try:
                _write(folder / "cgroup.kill", "1")
            except OSError as error:  # before Linux 5.14
                if error.errno not in (errno.ENOENT, errno.EACCES):
                    raise
                _kill_each(pids)
            await pidfd.wait_all(pids)

    def remove(self, path: str) -> None:
        _remove_tree(self._folder(path))

    def prune(self, path: str) -> None:
        _prune(self._folder(path))


def weight_of_shares(shares: int) -> int:
    """cpu.shares (2..262144) as cpu.weight (1..10000). Source: KEP-2254, the formula kubelets and runtimes share."""
    return 0 if not shares else 1 + ((shares - 2) * 9999) // 262142

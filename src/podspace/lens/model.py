"""The nouns of the lens: the processes of a Pod and the containers they are in, as seen at one moment.

Made by ``processes`` from /proc, turned into JSON by ``present``. No API object, no /proc path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podspace.runtime import model

PAUSE = "/pause"  # no container can be called so
NAMESPACES = ("pid", "mnt", "net", "ipc", "uts", "user", "cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A container of a Pod that runs, or its /pause. ``pid``: the host's pid of its main process."""

    name: str
    pid: int
    cgroup: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodHandle:
    """The Linux side of one Pod: /pause first, then the running containers in the order they were made."""

    name: str
    namespace: str
    uid: str
    pid_mode: model.NamespaceMode
    members: tuple[Member, ...]

    def member(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Of /proc/<pid>/status. ``uids`` and ``gids``: real, effective, saved, file system. Capability sets are bit masks."""

    uids: tuple[int, int, int, int] = (0, 0, 0, 0)
    gids: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: tuple[int, ...] = ()
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    bounding: int = 0
    ambient: int = 0
    no_new_privs: bool = False
    seccomp: int = 0  # 0 none, 1 strict, 2 filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One thread; ``tid`` in the host's numbering."""

    tid: int
    name: str
    state: str
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. ``pids``: its number in each nested pidns, the host's first; ``start_ticks`` after boot tells it from a later one.

    ``namespaces``: kind to inode; empty for a zombie, and for others than main processes unless asked for. Of these only ids are read, no
    capabilities. ``argv`` and ``name`` are what the process says of itself.
    """

    container: str
    pids: tuple[int, ...]
    pod_pid: int
    parent: int  # the host's number
    start_ticks: int
    started: float  # Unix seconds
    state: str  # one letter, proc(5)
    name: str
    argv: tuple[str, ...]
    cpu_seconds: float
    resident_bytes: int
    thread_count: int
    credentials: Credentials
    user: str
    main: bool
    namespaces: Mapping[str, int] = field(default_factory=dict)
    threads: tuple[Thread, ...] = ()

    @property
    def pid(self) -> int:
        """The host's number."""
        return self.pids[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """All processes of a Pod. ``host``: the inodes of this server's own namespaces."""

    pod: PodHandle
    processes: tuple[Process, ...]
    host: Mapping[str, int]

    def main(self, container: str) -> Process | None:
        return next((process for process in self.processes if process.main and process.container == container), None)

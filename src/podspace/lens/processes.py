"""Every process of a Pod, read from /proc: which container it is in by its cgroup, who it is by its container's own passwd.

Called by ``service`` in a thread: some files of /proc can make a reader wait. Zombies are in no cgroup.procs; they are found as children
of those that are, for which every process must be asked; where processes are shared, /pause's own /proc tells whether any is missing.
Nothing of what a process says of itself decides where it is listed. A container in which nothing has run since the last look is as it was:
only its memory may have been taken from it.
Source: cgroups(7), pid_namespaces(7), proc_pid_task(5) (children); fs/proc/base.c, task_dump_owner (a process's folder is its euid's).
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podspace.lens import model, procdir, proctext
from podspace.linux import cgroup_stats, cgroups, idmap, inroot
from podspace.oci import users
from podspace.runtime.model import NamespaceMode

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PASSWD_BYTES = 1 << 20
_DEAD = "ZXx"
_KEPT_NUMBERS, _KEPT_LOOKS = 8192, 512
_FEW_BYTES = 2048
_QUICK_SECONDS = 0.05

Numbers = dict[tuple[int, int], tuple[int, ...]]  # (pid, start in ticks) to its number in each pidns, the host's first: never changes


_Asked = tuple[bool, bool, bool]  # threads, namespaces, zombies


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What one container's look found, and by what it is known that it would find the same again."""

    cpu_used: int
    pids: list[int]
    processes: dict[int, model.Process]


@dataclass(slots=True)
class Memory:
    """What is kept from one look to the next, of all Pods: it spares the dearest file of a process, and all of a container at rest."""

    numbers: Numbers = field(default_factory=dict)
    looks: dict[tuple[str, _Asked], _Kept] = field(default_factory=dict)  # by cgroup and what was asked

    def bound(self) -> None:
        if len(self.numbers) > _KEPT_NUMBERS:
            self.numbers.clear()
        if len(self.looks) > _KEPT_LOOKS:
            self.looks.clear()


def census(
    pod: model.PodHandle, here: cgroups.Cgroups, *, threads: bool = False, namespaces: bool = False, memory: Memory | None = None
) -> model.Census:
    """Look at all of them once; ``namespaces`` of others than main processes cost as much again.

    Those that come and go meanwhile may be missing; none is shown in another's place.
    """
    kept = memory or Memory()
    kept.bound()
    shared = pod.pid_mode is NamespaceMode.POD
    found = _found(pod, here, threads, namespaces, kept, zombies=not shared)
    if shared and _numbers_of_all(pod.members[0].pid) - {process.pod_pid for process in found.values()}:
        found = _found(pod, here, threads, namespaces, kept, zombies=True)
    ordered = sorted(found.values(), key=lambda process: (process.pod_pid, process.pid))
    return model.Census(pod=pod, processes=tuple(ordered), host=_namespaces_of_self())


def _found(
    pod: model.PodHandle, here: cgroups.Cgroups, threads: bool, namespaces: bool, memory: Memory, *, zombies: bool
) -> dict[int, model.Process]:
    """By the host's pid. With ``zombies`` also those that wait for their parents."""
    found: dict[int, model.Process] = {}
    asked = (threads, namespaces, zombies)
    for member in pod.members:
        used = cgroup_stats.cpu_used(here, member.cgroup)  # before the look: what runs during it makes the next one look again
        pids = here.processes(member.cgroup)
        last = memory.looks.get((member.cgroup, asked))
        if last is None or (last.cpu_used, last.pids) != (used, pids):
            last = _looked(member, pids, asked, memory.numbers, used or 0)
            if used is not None:
                memory.looks[member.cgroup, asked] = last
        found = last.processes | found
    return found


def _looked(member: model.Member, pids: list[int], asked: _Asked, numbers: Numbers, used: int) -> _Kept:
    threads, namespaces, zombies = asked
    look = _Look(member, numbers, threads=threads, namespaces=namespaces, children=zombies)
    found: dict[int, model.Process] = {}
    for pid in pids:
        look.add(pid, found)
    look.add_zombies(found)
    return _Kept(cpu_used=used, pids=pids, processes=found)


@functools.lru_cache(maxsize=1024)
def _idmap(pid: int, cgroup: str) -> idmap.IdMap:
    """Whom a container calls whom: the same for its life, of which its cgroup is the name."""
    return idmap.of_process(pid)


def _numbers_of_all(pause: int) -> set[int]:
    """Every process of a shared pidns, zombies too, in its own numbers: by the /proc of its /pause, where no container can mount."""
    try:
        with procdir.ProcDir(pause) as folder:
            return {int(name) for name in folder.names("root/proc") if name.isdigit()}
    except (procdir.Gone, OSError):
        return set()


class _Look:
    """One container's processes, as they are read."""

    def __init__(self, member: model.Member, numbers: Numbers, *, threads: bool, namespaces: bool, children: bool) -> None:
        self._member = member
        self._numbers = numbers
        self._ask_children = children
        self._namespaces = namespaces
        self._threads = threads
        self._names: Mapping[int, str] | None = None
        self._depth = _depth(member.pid)
        self._idmap = _idmap(member.pid, member.cgroup)
        self._owners: dict[tuple[int, int], model.Credentials] = {}  # by the host's ids
        self._boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._mine: list[int] = []
        self._children: dict[int, list[int]] = {}

    def add(self, pid: int, found: dict[int, model.Process], *, zombie_of: int = 0) -> None:
        try:
            process = self._look_at(pid)
        except (procdir.Gone, ValueError, IndexError, PermissionError):
            return
        if zombie_of and (process.state not in _DEAD or process.parent != zombie_of):
            return
        found[pid] = process
        self._mine.append(pid)

    def add_zombies(self, found: dict[int, model.Process]) -> None:
        for parent in list(self._mine):
            for pid in self._children.get(parent, ()):
                if pid not in found:
                    self.add(pid, found, zombie_of=parent)

    def _look_at(self, pid: int) -> model.Process:
        """All of one process. If that was quick, no number can have come round meanwhile: there are 32,768 at least."""
        started = time.monotonic()
        process = self._read(procdir.ProcPath(pid))
        if time.monotonic() - started < _QUICK_SECONDS:
            return process
        with procdir.ProcDir(pid) as folder:
            return self._read(folder)

    def _read(self, folder: procdir.ProcPath) -> model.Process:
        stat = proctext.stat(folder.read_once("stat"))
        main = folder.pid == self._member.pid
        credentials, pids = self._ids(folder, stat.start_ticks, main)
        if self._ask_children and stat.state not in _DEAD:
            self._children[folder.pid] = _children(folder, stat.threads)
        return model.Process(
            container=self._member.name,
            pids=pids,
            pod_pid=pids[min(self._depth, len(pids) - 1)],
            parent=stat.parent,
            start_ticks=stat.start_ticks,
            started=self._boot + stat.start_ticks / _TICKS,
            state=stat.state,
            name=stat.name,
            argv=_argv(folder),
            cpu_seconds=stat.cpu_ticks / _TICKS,
            resident_bytes=stat.resident * _PAGE_BYTES,
            thread_count=stat.threads,
            credentials=credentials,
            user=self._user(credentials.uids[1]),
            main=main,
            namespaces=namespaces(folder) if (main or self._namespaces) and stat.state not in _DEAD else {},
            threads=_thread_list(folder) if self._threads else (),
        )

    def _ids(self, folder: procdir.ProcPath, start_ticks: int, main: bool) -> tuple[model.Credentials, tuple[int, ...]]:
        """Whom it runs as and its numbers. A folder in /proc is owned by the process's euid and egid, dumpable or not."""
        known = self._numbers.get((folder.pid, start_ticks))
        if main or known is None:
            status = folder.read_once("status")
            known = proctext.pids(status) or (folder.pid,)
            self._numbers[folder.pid, start_ticks] = known
            if main:
                return proctext.credentials(proctext.status(status), self._idmap), known
        owner = folder.owner()
        held = self._owners.get(owner)
        if held is None:
            uid, gid = self._idmap.shown(*owner)
            held = self._owners[owner] = model.Credentials(uids=(uid,) * 4, gids=(gid,) * 4)
        return held, known

    def _user(self, uid: int) -> str:
        """A name of the container's passwd, else the number. /pause has no passwd."""
        if self._names is None:
            self._names = user_names(self._member.pid)
        return self._names.get(uid, str(uid))


def user_names(pid: int) -> dict[int, str]:
    """The passwd that a process sees, uid to the first name. A root that cannot be read has none."""
    text = inroot.read_text(Path(f"/proc/{pid}/root"), "/etc/passwd", limit_bytes=_PASSWD_BYTES)
    names: dict[int, str] = {}
    for account in users.accounts(text):
        names.setdefault(account.uid, account.name)
    return names


def namespaces(folder: procdir.ProcPath) -> dict[str, int]:
    """Kind to inode; fewer when the kernel refuses or the process ends."""
    found: dict[str, int] = {}
    for kind in model.NAMESPACES:
        try:
            found[kind] = proctext.namespace_inode(folder.link(f"ns/{kind}"))
        except (procdir.Gone, OSError, ValueError):
            continue
    return found


def _namespaces_of_self() -> dict[str, int]:
    with procdir.ProcDir(os.getpid()) as folder:
        return namespaces(folder)


def _depth(pid: int) -> int:
    """How many pidns deep a container's main process is: the index of its own number in NSpid."""
    try:
        with procdir.ProcDir(pid) as folder:
            return max(len(proctext.pids(folder.read("status"))) - 1, 0)
    except procdir.Gone:
        return 0


def _argv(folder: procdir.ProcPath) -> tuple[str, ...]:
    try:
        raw = folder.read_once("cmdline", _FEW_BYTES)  # a large buffer costs more than most command lines
        return proctext.arguments(raw if len(raw) < _FEW_BYTES else folder.read_once("cmdline", procdir.ARGUMENT_BYTES))
    except (procdir.Gone, OSError):
        return ()


def _children(folder: procdir.ProcPath, thread_count: int) -> list[int]:
    """Of every thread of a process: a child is its thread's."""
    try:
        threads = [str(folder.pid)] if thread_count == 1 else folder.names("task")
    except (procdir.Gone, OSError):
        return []
    return [int(word) for thread in threads for word in _child_words(folder, f"task/{thread}/children")]


def _child_words(folder: procdir.ProcPath, name: str) -> list[bytes]:
    """The kernel gives this file by pages: most fit the first, of which one read is enough."""
    try:
        first = folder.read_once(name)
        return first.split() if len(first) < _PAGE_BYTES // 2 else folder.read(name, 1 << 20).split()
    except (procdir.Gone, OSError):
        return []


def _thread_list(folder: procdir.ProcPath) -> tuple[model.Thread, ...]:
    found = []
    try:
        names = folder.names("task")
    except (procdir.Gone, OSError):
        return ()
    for name in sorted(names, key=int):
        raw = _read_or_nothing(folder, f"task/{name}/stat")
        if raw:
            stat = proctext.stat(raw)
            found.append(model.Thread(tid=int(name), name=stat.name, state=stat.state, cpu_seconds=stat.cpu_ticks / _TICKS))
    return tuple(found)


def _read_or_nothing(folder: procdir.ProcPath, name: str) -> bytes:
    try:
        return folder.read(name)
    except (procdir.Gone, OSError):
        return b""

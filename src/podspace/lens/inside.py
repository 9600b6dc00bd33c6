"""A census taken from inside the Pod by a shell: the text that ``SCRIPT`` prints, turned into the same nouns as ``processes`` makes. Pure.

For Pods of any cluster, where nothing of ours runs on the node: ``cli.cluster_look`` runs the script in an ephemeral container. What a
process says of itself comes with its line ends replaced, so that nobody can forge a line of another's.
Source: proc(5); cgroup_namespaces(7) (a neighbour's cgroup shows as ``/../<name>``); the kernel escapes names in stat and status.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from podspace.lens import audit_rules, model, proctext
from podspace.oci import users
from podspace.runtime.model import NamespaceMode

TICKS = 100  # USER_HZ, the same on every architecture Kubernetes runs on
SCRIPT = r"""
cd /proc || exit
grep -sH ^btime stat
grep -sH '' sys/kernel/yama/ptrace_scope
grep -sH '' [0-9]*/stat
grep -sHE '^(Uid|Gid|Groups|NSpid|Cap|NoNewPrivs|Seccomp|Sig|VmRSS)' [0-9]*/status
grep -sH '' [0-9]*/cgroup
ls -ldn [0-9]*/environ 2>/dev/null
ls -ld [0-9]*/ns/* 2>/dev/null
for p in [0-9]*; do
    { printf '%s/cmdline:' "$p" && head -c 32768 "$p/cmdline" | tr '\000\n' '\001\002' && echo; } 2>/dev/null
    read -r s 2>/dev/null < "$p/stat" || continue
    set -- ${s##*) }
    [ "$2" = 0 ] && [ -f "$p/root/etc/passwd" ] && head -c 65536 "$p/root/etc/passwd" | sed "s|^|$p/passwd:|" 2>/dev/null && echo
done
if [ -n "$THREADS" ]; then grep -sH '' [0-9]*/task/[0-9]*/stat; fi
exit 0
"""
_LINE = re.compile(rb"(\d+)/(?:task/(\d+)/)?(stat|status|cgroup|cmdline|passwd):(.*)", re.DOTALL)
_NAMESPACE = re.compile(rb" (\d+)/ns/(\w+) -> \w+:\[(\d+)\]$")
_OWNER = re.compile(rb"^\S+ +\d+ +(\d+) +(\d+) .* (\d+)/environ$")
_ENDED = re.compile(rb".*\) [ZXx] (\d+) ", re.DOTALL)
_DEAD = "ZXx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as the API tells of it: ``id`` without its scheme."""

    name: str
    id: str


@dataclass(slots=True)
class _Raw:
    """What was printed of one process."""

    stat: bytes = b""
    status: list[bytes] = dataclasses.field(default_factory=list)
    cgroup: list[bytes] = dataclasses.field(default_factory=list)
    cmdline: bytes = b""
    passwd: list[bytes] = dataclasses.field(default_factory=list)
    namespaces: dict[str, int] = dataclasses.field(default_factory=dict)
    environ_owner: tuple[int, int] | None = None
    threads: dict[int, bytes] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What one look from inside found. ``parties``: the main processes as the audit takes them."""

    processes: tuple[model.Process, ...]
    members: tuple[model.Member, ...]
    parties: tuple[audit_rules.Party, ...]
    kernel: audit_rules.Kernel
    status: Mapping[int, bytes]  # lines of /proc/<pid>/status


def look(printed: bytes, containers: Sequence[Container], *, hide: str, target: str = "") -> Inside:
    """Of the script's output. ``hide``: our own container's id. ``target``: whose process namespace it is, if it is only that one's."""
    raws, boot, yama = _collect(printed)
    places = _places(raws, containers, hide, target)
    found: list[model.Process] = []
    for pid, raw in raws.items():
        try:
            if places[pid] != hide:
                found.append(_process(pid, raw, places[pid], boot))
        except (ValueError, IndexError):  # it ended while we looked
            continue
    mains = _mains(found)
    names = {container: _names(raws[main.pid].passwd) for container, main in mains.items()}
    processes = tuple(_finished(process, mains, names, raws) for process in sorted(found, key=lambda each: each.pid))
    ids = {container.name: container.id for container in containers}
    order = [model.PAUSE, *ids]
    ranked = sorted(mains.values(), key=lambda main: order.index(main.container))
    return Inside(
        processes=processes,
        members=tuple(model.Member(name=main.container, pid=main.pid, cgroup="", id=ids.get(main.container, "")) for main in ranked),
        parties=tuple(_party(main, raws[main.pid], target) for main in ranked),
        kernel=audit_rules.Kernel(yama=yama),
        status={pid: b"\n".join(raw.status) for pid, raw in raws.items()},
    )


def census(name: str, namespace: str, uid: str, mode: NamespaceMode, looks: Sequence[Inside]) -> model.Census:
    """One census of all looks: one where processes are shared, else one a container."""
    members = tuple(member for each in looks for member in each.members)
    pod = model.PodHandle(name=name, namespace=namespace, uid=uid, pid_mode=mode, members=members)
    return model.Census(pod=pod, processes=tuple(process for each in looks for process in each.processes), host={})


def _collect(printed: bytes) -> tuple[dict[int, _Raw], float, int]:
    raws: dict[int, _Raw] = {}
    boot, yama = 0.0, 0
    for line in printed.split(b"\n"):
        if matched := _LINE.match(line):
            pid, thread, name, rest = matched.groups()
            _keep(raws.setdefault(int(pid), _Raw()), name.decode(), rest, int(thread or 0))
        elif matched := _NAMESPACE.search(line):
            if (kind := matched[2].decode()) in model.NAMESPACES:
                raws.setdefault(int(matched[1]), _Raw()).namespaces[kind] = int(matched[3])
        elif matched := _OWNER.match(line):
            raws.setdefault(int(matched[3]), _Raw()).environ_owner = (int(matched[1]), int(matched[2]))
        elif line.startswith(b"stat:btime "):
            boot = float(line.split()[-1])
        elif line.startswith(b"sys/kernel/yama/ptrace_scope:"):
            yama = int(line.rpartition(b":")[2] or b"0")
    return {pid: raw for pid, raw in raws.items() if raw.stat}, boot, yama


def _keep(raw: _Raw, kind: str, rest: bytes, thread: int) -> None:
    if thread:
        raw.threads[thread] = rest
    elif kind == "stat":
        raw.stat = rest
    elif kind == "cmdline":
        raw.cmdline = rest.replace(b"\1", b"\0").replace(b"\2", b"\n")
    else:
        {"status": raw.status, "cgroup": raw.cgroup, "passwd": raw.passwd}[kind].append(rest)


def _places(raws: Mapping[int, _Raw], containers: Sequence[Container], hide: str, target: str) -> dict[int, str]:
    """Container by pid. A zombie may be in no cgroup any more: it is where its parent is."""
    places = {pid: _place(raw, containers, hide, target) for pid, raw in raws.items()}
    for pid, raw in raws.items():
        dead = _ENDED.search(raw.stat)
        if dead and int(dead[1]) in places:
            places[pid] = places[int(dead[1])]
    return places


def _place(raw: _Raw, containers: Sequence[Container], hide: str, target: str) -> str:
    """Which container it is in, by its cgroup: a container's id is in its path, whatever runtime made it."""
    paths = b"\n".join(raw.cgroup)
    for container in containers:
        if container.id and container.id.encode() in paths:
            return hide if container.id == hide else container.name
    if hide.encode() in paths or _in_own_cgroup(raw):
        return hide
    return target or model.PAUSE


def _in_own_cgroup(raw: _Raw) -> bool:
    """In a cgroup namespace one's own cgroup is /."""
    paths = [line.split(b":", 2)[2] for line in raw.cgroup if line.count(b":") >= 2]
    return bool(paths) and all(path == b"/" for path in paths)


def _process(pid: int, raw: _Raw, container: str, boot: float) -> model.Process:
    stat, shown = proctext.stat(raw.stat), fields(b"\n".join(raw.status))
    return model.Process(
        container=container,
        pids=(pid,),
        pod_pid=pid,
        parent=stat.parent,
        start_ticks=stat.start_ticks,
        started=boot + stat.start_ticks / TICKS,
        state=stat.state,
        name=stat.name,
        argv=proctext.arguments(raw.cmdline),
        cpu_seconds=stat.cpu_ticks / TICKS,
        resident_bytes=int(shown.get("VmRSS", "0").split()[0]) * 1024,
        thread_count=stat.threads,
        credentials=proctext.credentials(shown),
        user="",
        main=False,
        namespaces=raw.namespaces if stat.state not in _DEAD else {},
        threads=tuple(_threads(raw)),
    )


def fields(status: bytes) -> dict[str, str]:
    """Lines of /proc/<pid>/status by key."""
    return proctext.status(status)


def _threads(raw: _Raw) -> Iterator[model.Thread]:
    for tid, line in sorted(raw.threads.items()):
        stat = proctext.stat(line)
        yield model.Thread(tid=tid, name=stat.name, state=stat.state, cpu_seconds=stat.cpu_ticks / TICKS)


def _mains(found: Sequence[model.Process]) -> dict[str, model.Process]:
    """The oldest of each container: what is executed in it later started later."""
    mains: dict[str, model.Process] = {}
    for process in sorted(found, key=lambda each: (each.start_ticks, each.pid)):
        mains.setdefault(process.container, process)
    return mains


def _names(passwd: Sequence[bytes]) -> dict[int, str]:
    names: dict[int, str] = {}
    for account in users.accounts(b"\n".join(passwd).decode(errors="replace")):
        names.setdefault(account.uid, account.name)
    return names


def _finished(
    process: model.Process, mains: Mapping[str, model.Process], names: Mapping[str, Mapping[int, str]], raws: Mapping[int, _Raw]
) -> model.Process:
    uid = process.credentials.uids[1]
    return replace(process, main=mains[process.container] is process, user=names[process.container].get(uid, str(uid)))


def _party(process: model.Process, raw: _Raw, target: str) -> audit_rules.Party:
    held = process.credentials
    owner = raw.environ_owner
    return replace(
        audit_rules.party(process.container, held),
        pidns=("node", target or model.PAUSE),
        userns=("node", raw.namespaces.get("user", 0)),
        dumpable=owner is None or owner == (held.uids[1], held.gids[1]),
    )

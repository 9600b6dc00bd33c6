"""The main processes of a running Pod as parties of the audit, as /proc shows them. Called by ``service`` in a thread."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podspace.lens import audit_filter, audit_rules, model, procdir
from podspace.linux import idmap, mounts

_NS_GET_PARENT = 0xB702
_DEEPEST = 33


def kernel() -> audit_rules.Kernel:
    """Of this machine."""
    try:
        return audit_rules.Kernel(yama=int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text()))
    except OSError:
        return audit_rules.Kernel()


def parties(census: model.Census, filters: audit_filter.Filters) -> list[audit_rules.Party]:
    """Of every main process that is still there, /pause first."""
    found = []
    for process in census.processes:
        if process.main:
            try:
                with procdir.ProcDir(process.pid) as folder:
                    found.append(_party(process, folder, filters.get(process.container, {})))
            except (procdir.Gone, PermissionError):
                continue
    order = [member.name for member in census.pod.members]
    return sorted(found, key=lambda party: order.index(party.name))


def _party(process: model.Process, folder: procdir.ProcDir, profile: Mapping[str, Any]) -> audit_rules.Party:
    held = process.credentials
    hidepid, proc_gid = _proc_options(folder)
    return dataclasses.replace(
        audit_rules.party(process.container, held),
        pidns=_ancestry(folder, "pid"),
        userns=_ancestry(folder, "user"),
        dumpable=_dumpable(held, folder),
        hidepid=hidepid,
        proc_gid=proc_gid,
        refused_calls=audit_filter.refused(profile),
    )


def _ancestry(folder: procdir.ProcDir, kind: str) -> tuple[object, ...]:
    """Inodes of a namespace and those above it, as far as we may look.   Source: ioctl_ns(2)."""
    try:
        fd = os.open(f"ns/{kind}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder.fd)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise procdir.Gone(str(folder.pid)) from error
    found: list[object] = []
    for _ in range(_DEEPEST):
        found.append(os.fstat(fd).st_ino)
        try:
            above = fcntl.ioctl(fd, _NS_GET_PARENT)
        except PermissionError:  # the next is out of our sight
            break
        finally:
            os.close(fd)
        fd = above
    return tuple(reversed(found))


def _dumpable(held: model.Credentials, folder: procdir.ProcDir) -> bool:
    """The kernel gives the files of a process that is not dumpable to the host's root; of one that is root's anyway it does not tell."""
    try:
        owner = os.stat("environ", dir_fd=folder.fd)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise procdir.Gone(str(folder.pid)) from error
    assert stat.S_ISREG(owner.st_mode)
    return idmap.of_process(folder.pid).shown(owner.st_uid, owner.st_gid) == (held.uids[1], held.gids[1])


def _proc_options(folder: procdir.ProcDir) -> tuple[int, int]:
    """hidepid and gid of the /proc that the process has."""
    text = folder.read("mountinfo", 1 << 20).decode(errors="surrogateescape")
    names = {"noaccess": 1, "invisible": 2, "ptraceable": 4}
    found = {"hidepid": "0", "gid": "0"}
    for entry in mounts.parse_mountinfo(text):
        if entry.target == "/proc" and entry.fstype == "proc":
            found |= dict(pair for option in entry.options if len(pair := option.split("=", 1)) == 2)
    hidepid = found["hidepid"]
    return names.get(hidepid, int(hidepid) if hidepid.isdigit() else 0), int(found["gid"])

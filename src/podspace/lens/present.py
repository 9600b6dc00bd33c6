"""What the lens saw, as the JSON of its API group. Pure. Called by ``service``.

Text of a container goes into JSON as it is (its encoder escapes control characters); whoever prints it uses ``safetext``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from podspace.kube import times
from podspace.kube.json import JSON
from podspace.lens import model
from podspace.oci import capabilities
from podspace.runtime.model import NamespaceMode

API_VERSION = "lens.podspace.io/v1"
STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a device",
    "Z": "zombie",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
    "X": "dead",
    "x": "dead",
}
SECCOMP = {0: "none", 1: "strict", 2: "filter"}
_MODES = {NamespaceMode.POD: "Pod", NamespaceMode.CONTAINER: "Container", NamespaceMode.NODE: "Node", NamespaceMode.TARGET: "Container"}


def head(kind: str, pod: model.PodHandle) -> JSON:
    """The beginning of every answer about a Pod."""
    return {"kind": kind, "apiVersion": API_VERSION, "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}}


def processes(census: model.Census, *, from_host: bool = True) -> JSON:
    """``PodProcesses``: containers with the namespaces they share, and every process. From inside, the host's numbers are not known."""
    by_pid = {process.pid: process for process in census.processes}
    mains = {member.name: found for member in census.pod.members if (found := census.main(member.name)) is not None}
    shown: JSON = {
        **head("PodProcesses", census.pod),
        "processNamespace": _MODES[census.pod.pid_mode],
        "containers": [_container(member, mains, census.host) for member in census.pod.members],
        "processes": [_process(process, by_pid, mains.get(process.container)) for process in census.processes],
    }
    if not from_host:
        for entry in (*shown["containers"], *shown["processes"]):
            entry.pop("hostPid", None)
            entry.pop("hostParent", None)
    return shown


_moment = functools.lru_cache(maxsize=1024)(times.rfc3339)


def _container(member: model.Member, mains: Mapping[str, model.Process], host: Mapping[str, int]) -> JSON:
    own = mains.get(member.name)
    shown: JSON = {"name": member.name, "hostPid": member.pid}
    if own is None:
        return shown
    spaces: JSON = {}
    for kind, inode in own.namespaces.items():
        others = [name for name, other in mains.items() if name != member.name and other.namespaces.get(kind) == inode]
        spaces[kind] = {"id": inode, "sharedWith": others + (["the node"] if host.get(kind) == inode else [])}
    return {**shown, "pid": own.pod_pid, "credentials": _credentials(own.credentials), "namespaces": spaces}


def _credentials(held: model.Credentials) -> JSON:
    """Of the main process, as the kernel has them now."""
    return {
        "uid": held.uids[1],
        "gid": held.gids[1],
        "groups": list(held.groups),
        "capabilities": [name.removeprefix("CAP_") for name in capabilities.of_mask(held.permitted)],
        "noNewPrivileges": held.no_new_privs,
        "seccomp": SECCOMP.get(held.seccomp, str(held.seccomp)),
    }


def _process(process: model.Process, by_pid: Mapping[int, model.Process], main: model.Process | None) -> JSON:
    parent = by_pid.get(process.parent)
    shown: JSON = {
        "pid": process.pod_pid,
        "hostPid": process.pid,
        "parent": parent.pod_pid if parent else 0,
        "hostParent": process.parent,
        "container": process.container,
        "main": process.main,
        "user": process.user,
        "uid": process.credentials.uids[1],
        "gid": process.credentials.gids[1],
        "state": STATES.get(process.state, process.state),
        "startTime": _moment(int(process.started)),
        "startTicks": process.start_ticks,
        "cpuSeconds": round(process.cpu_seconds, 2),
        "residentBytes": process.resident_bytes,
        "threadCount": process.thread_count,
        "name": process.name,
        "command": list(process.argv),
    }
    if main is not None and process.namespaces:
        own = sorted(kind for kind, inode in process.namespaces.items() if main.namespaces.get(kind, inode) != inode)
        shown |= {"ownNamespaces": own} if own else {}
    if process.threads:
        shown["threads"] = [
            {"tid": each.tid, "name": each.name, "state": STATES.get(each.state, each.state), "cpuSeconds": round(each.cpu_seconds, 2)}
            for each in process.threads
        ]
    return shown

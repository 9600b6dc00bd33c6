"""Censuses made by hand."""

from __future__ import annotations

from podspace.lens import model
from podspace.runtime.model import NamespaceMode


def process(
    container: str, pid: int, *, parent: int = 0, main: bool = False, name: str = "sh", state: str = "S", title: str = ""
) -> model.Process:
    return model.Process(
        container=container,
        pids=(pid + 1000, pid),
        pod_pid=pid,
        parent=parent + 1000 if parent else 0,
        start_ticks=pid,
        started=1000.0,
        state=state,
        name=name,
        argv=(title or name,),
        cpu_seconds=0.5,
        resident_bytes=4096,
        thread_count=1,
        credentials=model.Credentials(),
        user="root",
        main=main,
        namespaces={"pid": 5, "mnt": pid, "user": 1},
    )


def census(*processes: model.Process, mode: NamespaceMode = NamespaceMode.POD) -> model.Census:
    names = dict.fromkeys(each.container for each in processes)
    members = tuple(model.Member(name=name, pid=next(p.pid for p in processes if p.container == name), cgroup=f"/{name}") for name in names)
    pod = model.PodHandle(name="web", namespace="default", uid="u", pid_mode=mode, members=members)
    return model.Census(pod=pod, processes=processes, host={"user": 1})


PAUSE = process(model.PAUSE, 1, main=True, name="pause", title="/pause")
MASTER = process("nginx", 8, main=True, name="nginx", title="nginx: master process nginx -g daemon off;")
WORKER = process("nginx", 14, parent=8, name="nginx", title="nginx: worker process")
SHELL = process("shell", 15, main=True)
SHARED = census(PAUSE, MASTER, WORKER, SHELL)

"""Starting is recovering: adopt what runs, finish what was half done, remove what nobody wants.

Called by ``Engine.recover`` before anything else, on a fresh machine as after a kill -9. Reads only what the former server wrote, conmon's
files, /proc, and the kernel's tables. Exits that happened meanwhile are told like any other, once ``Engine.run`` runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from podspace import errors, settings
from podspace.aio import together
from podspace.linux import mounts, pidfd, procfs
from podspace.runtime import (
    cgroup_groups,
    container_create,
    container_stop,
    layout,
    machine,
    model,
    records,
    sandbox_run,
    sandbox_stop,
    spec_process,
    world,
)

log = logging.getLogger(__name__)
_SETTLE_SECONDS = 10


def supervisors(exits: Path) -> dict[str, int]:
    """Living conmons of the server whose exit folder this is: container id -> pid."""
    found: dict[str, int] = {}
    mark = f"--exit-dir={exits}"
    for pid in procfs.pids():
        words = procfs.cmdline(pid)
        if mark in words and procfs.Identity.of(pid) is not None:
            found.update({word.removeprefix("--cid="): pid for word in words if word.startswith("--cid=")})
    return found


async def recover(here: world.World) -> None:
    """Bring the world to what is really there. Raises: OSError."""
    here.layout.make()
    for names in ((), spec_process.capability_names(model.ContainerConfig(name="", image=""), here.machine)):
        await asyncio.to_thread(machine.default_seccomp, here.machine, names)  # so that the first Pod need not wait for it
    here.runtimes.prepare(systemd_cgroups=here.settings.cgroup_driver == settings.SYSTEMD)
    await here.runtimes.default.settle(_SETTLE_SECONDS, contained=here.cgroups.processes(here.settings.cgroup_root))
    conmons = supervisors(here.layout.exits)
    _load_sandboxes(here)
    _load_containers(here)
    await together.every(_tried(_container(here, item, conmons), item.id) for item in list(here.containers.values()))
    await together.every(_tried(_sandbox(here, item), item.id) for item in list(here.sandboxes.values()))
    await _orphans(here, conmons)
    attached = [sandbox for sandbox in here.sandboxes.values() if sandbox.ready and sandbox.facts.ips]
    await here.network.recover([sandbox_run.attachment(sandbox, sandbox.facts.pid) for sandbox in attached])


async def _tried(step: Coroutine[Any, Any, None], identifier: str) -> None:
    """What cannot be undone now (a process that does not die, a full disk) must not keep everything else from being served."""
    try:
        await step
    except (errors.PodspaceError, OSError) as error:
        log.error("%s cannot be recovered: %s", identifier, error)


def _load_sandboxes(here: world.World) -> None:
    for name in layout.names(here.layout.sandboxes):
        folder = here.layout.sandbox(name)
        intent = layout.load(records.SandboxIntent, folder.intent)
        if intent is not None:
            facts = layout.load(records.SandboxFacts, folder.state) or records.SandboxFacts()
            here.sandboxes[intent.id] = records.Sandbox(intent=intent, facts=facts)


def _load_containers(here: world.World) -> None:
    for name in layout.names(here.layout.containers):
        folder = here.layout.container(name)
        intent = layout.load(records.ContainerIntent, folder.intent)
        if intent is not None:
            facts = layout.load(records.ContainerFacts, folder.state) or records.ContainerFacts()
            here.containers[intent.id] = records.Container(intent=intent, facts=facts, rootfs=folder.rootfs)


async def _sandbox(here: world.World, sandbox: records.Sandbox) -> None:
    folder = here.layout.sandbox(sandbox.id)
    if not sandbox.facts.ready or folder.removing.exists():
        log.info("sandbox %s: half made or half removed by a former server, removing it", sandbox.id)
        await sandbox_stop.discard(here, sandbox)
        return
    if sandbox.facts.exited:
        sandbox.exited.set()
        return
    sandbox.handle = pidfd.ProcessHandle.open(sandbox.facts.pid, sandbox.facts.start_time)
    if sandbox.handle is not None:
        sandbox_run.mount_shm(sandbox, folder)
    here.when_gone(sandbox.handle, lambda: sandbox_stop.pause_ended(here, sandbox))


async def _container(here: world.World, container: records.Container, conmons: dict[str, int]) -> None:
    folder = here.layout.container(container.id)
    sandbox = here.sandboxes.get(container.intent.sandbox_id)
    complete = container.facts.pid or container.facts.failure or container.facts.finished_nanos
    wanted = sandbox is not None and sandbox.facts.ready and not here.layout.sandbox(sandbox.id).removing.exists()
    if not wanted or not complete or folder.removing.exists():
        log.info("container %s: half made or half removed by a former server, removing it", container.id)
        container.conmon = pidfd.ProcessHandle.open(conmons.pop(container.id, 0))
        await container_stop.discard(here, container)
        return
    if container.facts.finished_nanos:
        container.exited.set()
    elif container.facts.pid:
        if not container.facts.started_nanos and await here.runtime_of(container).state(container.id) in ("running", "stopped"):
            container.learn(started_nanos=time.time_ns())
            here.layout.save_container(container)
        facts = container.facts
        container_create.adopt(here, container, pid=facts.pid, conmon_pid=facts.conmon_pid, known=facts)


def _end(pid: int) -> None:
    if pid:
        handle = pidfd.ProcessHandle.open(pid)
        if handle is not None:
            handle.send_signal(signal.SIGKILL)
            handle.close()


async def _orphans(here: world.World, conmons: dict[str, int]) -> None:
    """What has our name on it and no record: conmons, states of the OCI runtime, cgroups, mounts, folders."""
    known: set[str] = {*here.sandboxes, *here.containers}
    for identifier, pid in conmons.items():
        if identifier not in known:
            _end(pid)
    for name in layout.names(here.layout.crun):
        if name not in known and not name.startswith("."):
            await here.runtimes.default.delete(name)
    await _orphan_cgroups(here, known)
    for folder in (here.layout.containers, here.layout.sandboxes, here.layout.snapshots):
        for name in layout.names(folder):
            if name not in known:
                mounts.unmount_below(folder / name)
                await asyncio.to_thread(layout.remove_tree, folder / name)
    for file in here.layout.scratch.glob("conmon-term.*"):  # sockets of conmons that were killed while they waited for a terminal
        file.unlink(missing_ok=True)
    for name in layout.names(here.layout.exits):
        if name not in known:
            (here.layout.exits / name).unlink(missing_ok=True)


async def _orphan_cgroups(here: world.World, known: set[str]) -> None:
    for pod in cgroup_groups.of_sandboxes(here):
        for path in here.cgroups.children(pod):
            if os.path.basename(path) not in known:
                await here.cgroups.kill(path)
                here.cgroups.remove(path)
        here.cgroups.prune(pod)
    if not here.sandboxes:
        cgroup_groups.prune(here)

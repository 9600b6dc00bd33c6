"""Stop and remove a container, and learn of its end.

In a shared or host pidns the kernel leaves a container's children alive when its first process ends; whatever is left in its cgroup is
killed here, and only then its exit is told. Called by ``Engine``, ``sandbox_stop``, ``recover``; idempotent throughout.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import time

from podspace import errors
from podspace.linux import pidfd, procfs
from podspace.oci import conmon
from podspace.runtime import layout, model, records, rootfs, world

START_FAILED = 128  # containerd's code for a container that never ran
_PATIENCE = (0.01, 0.05, 0.2, 1.0)  # seconds
_KILL_SECONDS = 60  # until we give up on processes that do not die


async def stop(here: world.World, container: records.Container, *, grace_seconds: float) -> None:
    """Ask with the stop signal, wait, then kill. Return when everything of the container is dead.

    Idempotent. Cancelled: the signal may have been sent; calling again is safe. Raises: TimedOut when something cannot be killed.
    Source: cri-api api.proto StopContainer.
    """
    if container.state is model.ContainerState.RUNNING and container.handle is not None and grace_seconds > 0:
        container.handle.send_signal(container.facts.stop_signal)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await container.exited.wait()
    await kill(here, container)


async def kill(here: world.World, container: records.Container) -> None:
    """SIGKILL everything of the container and wait until its end is written down. Raises: TimedOut."""
    if container.exited.is_set():
        return
    try:
        async with asyncio.timeout(_KILL_SECONDS):
            if container.handle is not None:
                container.handle.send_signal(signal.SIGKILL)
            await here.cgroups.kill(container.intent.cgroup)
            if container.conmon is None:
                await conmon_ended(here, container)
            await container.exited.wait()
    except TimeoutError as error:
        left = here.cgroups.processes(container.intent.cgroup)
        raise errors.TimedOut(f"container {container.id}: processes {left} do not die; look at their state in /proc/<pid>/stack") from error


async def conmon_ended(here: world.World, container: records.Container) -> None:
    """Learn how the container ended, kill what it left behind, write it down, tell. Once."""
    if container.facts.finished_nanos or container.id not in here.containers:
        container.exited.set()
        return
    ended = conmon.exit_code(here.layout.exits, container.id)
    if ended is None and container.handle is not None:  # conmon was killed: nobody would ever know, nor read its output
        container.handle.send_signal(signal.SIGKILL)
    outcome = _outcome(here, container, ended)
    await here.cgroups.kill(container.intent.cgroup)
    if container.facts.finished_nanos:
        return  # a stop that ran beside us was quicker
    container.learn(**outcome)
    try:
        if here.layout.container(container.id).path.exists():
            here.layout.save_container(container)
    finally:  # even on a full disk those who wait must go on
        if container.handle is not None:
            container.handle.close()
        container.exited.set()
        here.tell(model.EventKind.CONTAINER_EXITED, container.intent.sandbox_id, container.id)
    await release(here, container, container.intent.cgroup)


async def release(here: world.World, dead: records.Container | records.Sandbox, cgroup: str) -> None:
    """What nobody needs of the dead, though their status and log may be looked at for long: the OCI runtime's state, their cgroup."""
    async with dead.releasing:
        await here.cgroups.kill(cgroup)
        try:
            here.cgroups.remove(cgroup)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            await here.runtime_of(dead).delete(dead.id)
            await _remove_late(here, cgroup)
        await here.runtime_of(dead).forget(dead.id)


async def _remove_late(here: world.World, cgroup: str) -> None:
    """Some kernels let go of the dead a little late, and nothing tells when.  Raises: OSError."""
    for seconds in _PATIENCE:
        try:
            here.cgroups.remove(cgroup)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        await asyncio.sleep(seconds)
    here.cgroups.remove(cgroup)


def _outcome(here: world.World, container: records.Container, ended: tuple[int, int] | None) -> dict[str, str | int]:
    code, nanos = ended or (128 + signal.SIGKILL, time.time_ns())
    failure = container.facts.failure
    if failure:
        return {"exit_code": START_FAILED, "finished_nanos": time.time_ns(), "reason": "StartError", "message": failure}
    started = container.facts.started_nanos or container.starting_nanos or container.intent.created_nanos
    # a file's time comes from a clock some milliseconds behind
    found: dict[str, str | int] = {"exit_code": code, "finished_nanos": max(nanos, started), "started_nanos": started}
    if ended is None:
        return found | {"reason": "ContainerStatusUnknown", "message": "conmon, which would have kept the exit code, was killed"}
    if here.cgroups.oom_kills(container.intent.cgroup):  # of whichever process, as containerd tells it
        return found | {"reason": "OOMKilled"}
    return found | {"reason": "Completed" if code == 0 else "Error"}


async def remove(here: world.World, container: records.Container) -> None:
    """Kill it if need be and delete everything of it but its log. Idempotent."""
    folder = here.layout.container(container.id)
    folder.begin_removal()
    if container.conmon is not None or container.facts.failure:
        await kill(here, container)
    await discard(here, container)


async def discard(here: world.World, container: records.Container) -> None:
    """Undo whatever part of create_container was done. Needs nothing but the intent."""
    folder = here.layout.container(container.id)
    folder.begin_removal()
    await _kill_conmon(container, folder)
    await release(here, container, container.intent.cgroup)
    for handle in (container.handle, container.conmon):
        if handle is not None:
            handle.close()
    container.exited.set()
    await asyncio.to_thread(_clear, here.layout, container.id)
    here.containers.pop(container.id, None)


def _clear(places: layout.Layout, identifier: model.ContainerId) -> None:
    """Mounts and files. Blocks: the kernel takes its time for both."""
    folder = places.container(identifier).path
    rootfs.unmount(places.snapshot(identifier), folder)
    (places.exits / identifier).unlink(missing_ok=True)
    layout.remove_tree(folder)


async def _kill_conmon(container: records.Container, folder: layout.Folder) -> None:
    """A conmon that is still there is in our way, and so is the OCI runtime it may just be running: the container is not wanted."""
    if container.conmon is not None and container.facts.pid:
        container.conmon.send_signal(signal.SIGKILL)
        await container.conmon.exited()
        return
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid = container.conmon.pid if container.conmon is not None else int(folder.conmon_pid_file.read_text())
        if f"--cid={container.id}" in procfs.cmdline(pid):
            await _kill_family(pid)


async def _kill_family(pid: int) -> None:
    """Kill a process and its children; stopped first, it makes no more of them."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    children = [found.pid for other in procfs.pids() if (found := procfs.stat(other)) is not None and found.parent == pid]
    for victim in (*children, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    await pidfd.wait_all([pid, *children])

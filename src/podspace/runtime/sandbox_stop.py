"""Stop and remove a sandbox, and notice the death of its /pause.

Called by ``Engine``, ``sandbox_run`` (undo) and ``recover``. Everything here is idempotent: a killed server's successor does it again.
"""

from __future__ import annotations

import asyncio
import signal

from podspace.aio import together
from podspace.linux import mounts, procfs
from podspace.runtime import cgroup_groups, container_stop, layout, model, records, world


async def pause_ended(here: world.World, sandbox: records.Sandbox) -> None:
    """Write down that /pause is gone and tell it, once. Its containers are the caller's to stop (in a shared pidns they are dead)."""
    if sandbox.exited.is_set():
        return
    sandbox.exited.set()
    if sandbox.id not in here.sandboxes:
        return
    sandbox.learn(exited=True)
    if here.layout.sandbox(sandbox.id).path.exists():
        here.layout.save_sandbox(sandbox)
    if sandbox.facts.ready:
        here.tell(model.EventKind.SANDBOX_EXITED, sandbox.id)
    here.when_gone(None, lambda: container_stop.release(here, sandbox, sandbox.pause_cgroup))


async def stop(here: world.World, sandbox: records.Sandbox) -> None:
    """Kill its containers and /pause, take back its network. Return when all of it is gone. Idempotent."""
    await together.every(container_stop.kill(here, container) for container in here.containers_of(sandbox.id))
    await together.every((here.network.detach(sandbox.id), _kill_pause(here, sandbox)))
    await pause_ended(here, sandbox)


async def remove(here: world.World, sandbox: records.Sandbox) -> None:
    """Stop it, then remove its containers and whatever is left of it. Idempotent."""
    folder = here.layout.sandbox(sandbox.id)
    folder.begin_removal()
    await stop(here, sandbox)
    await together.every(container_stop.remove(here, container) for container in here.containers_of(sandbox.id))
    await discard(here, sandbox)


async def _kill_pause(here: world.World, sandbox: records.Sandbox) -> None:
    if sandbox.handle is not None:
        sandbox.handle.send_signal(signal.SIGKILL)
        await sandbox.handle.exited()
    elif sandbox.facts.pid and procfs.Identity(pid=sandbox.facts.pid, start_time=sandbox.facts.start_time).alive:
        await here.cgroups.kill(sandbox.pause_cgroup)


def _clear(folder: layout.Folder) -> None:
    """Mounts and files. Blocks: the kernel takes its time for both."""
    mounts.unmount(folder.shm)
    layout.remove_tree(folder.path)


async def discard(here: world.World, sandbox: records.Sandbox) -> None:
    """Undo whatever part of run_sandbox was done. Needs nothing but the intent."""
    folder = here.layout.sandbox(sandbox.id)
    folder.begin_removal()
    await together.every((here.network.detach(sandbox.id), container_stop.release(here, sandbox, sandbox.pause_cgroup)))
    if sandbox.handle is not None:
        sandbox.handle.close()
        sandbox.handle = None
    sandbox.exited.set()
    await asyncio.to_thread(_clear, folder)
    if not sandbox.config.cgroup_parent:  # else it is the kubelet's, with its limits
        here.cgroups.prune(sandbox.intent.cgroup)
    here.sandboxes.pop(sandbox.id, None)
    if not here.sandboxes:  # with others about, one may just be making its cgroup below
        cgroup_groups.prune(here)

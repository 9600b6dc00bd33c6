"""The end of a Pod: ask its containers to stop, wait as long as its grace allows, then leave nothing behind.

Main and ephemeral containers stop together, sidecars after them in reverse order (KEP-753); every preStop hook begins at once, as a
kubelet has it. The grace may be shortened while we wait (a second ``kubectl delete --now``). Called by the Pod's worker; safe to call
again after a failure or a restart.
"""

from __future__ import annotations

import asyncio
import glob
import shutil
import time
from collections.abc import Callable

from podspace import errors
from podspace.aio import together
from podspace.kube.json import JSON
from podspace.node import attempts, configs, ending, neighbours, pod_state, podstatus_writer, volumes
from podspace.node.context import NodeContext
from podspace.node.decide import Observed
from podspace.node.pod import Pod, PodUid, Role
from podspace.node.pod_state import PodState
from podspace.runtime.model import ContainerState, ContainerStatus, SandboxState
from podspace.settings import Paths
from podspace.store.store import Store


async def release(
    context: NodeContext, current: Callable[[], Pod], state: PodState, observed: Observed, *, gone: Callable[[], bool]
) -> None:
    """A Pod that has run its course keeps its dead containers and logs; its sidecars stop, its sandbox and volumes go."""
    if observed.sandbox is not None and observed.sandbox.state is SandboxState.READY:
        grace = current().grace_seconds if state.failure_grace_seconds is None else state.failure_grace_seconds
        stop_by = time.time() + grace
        await stop_containers(context, current, state, gone=gone, stop_by=stop_by)
        await context.engine.stop_sandbox(observed.sandbox.id)
    elif observed.sandbox is not None and _alive(context, current().uid):  # /pause died, and some of its containers have not
        await context.engine.stop_sandbox(observed.sandbox.id)
    await asyncio.to_thread(volumes.tear_down, context.settings.paths.pods, current().uid)


async def terminate(context: NodeContext, current: Callable[[], Pod], state: PodState, *, gone: Callable[[], bool]) -> None:
    """Stop and remove everything of the Pod, then let go of the object.

    ``current`` gives the newest view of the Pod (its deadline may move); ``gone`` whether the object is gone already.
    """
    pod = current()
    await stop_containers(context, current, state, gone=gone, stop_by=time.time())
    await podstatus_writer.write(context, current(), state, ended=True)
    await remove(context, pod)
    await let_go(context.store, pod.raw)


async def stop_containers(
    context: NodeContext, current: Callable[[], Pod], state: PodState, *, gone: Callable[[], bool], stop_by: float
) -> None:
    """Stop all that runs, each in its turn; ``stop_by`` (Unix seconds) counts as long as the Pod is not deleted."""
    pod = current()
    alive = _alive(context, pod.uid)
    observed = pod_state.observe(context.engine, pod)
    deadline = ending.Deadline(lambda: _remaining(current(), gone(), stop_by, state.deletion_seen), state.deletion, given_up=gone)
    for status in alive:
        container = pod.find(status.config.name)
        path = container.field_path if container else ""
        context.recorder.normal(pod.raw, "Killing", f"Stopping container {status.config.name}", field_path=path)
    await together.every(_stop(context, pod, observed, status, _before(pod, status, alive), deadline) for status in alive)


async def _stop(
    context: NodeContext, pod: Pod, observed: Observed, status: ContainerStatus, before: list[ContainerStatus], deadline: ending.Deadline
) -> None:
    container = pod.find(status.config.name)

    async def turn() -> None:
        await together.every(context.engine.wait_container(other.id) for other in before)

    address = pod_state.address(context, pod, observed)
    ports = container.raw if container is not None else {}
    target = attempts.Target(engine=context.engine, container=status.id, address=address, ports=ports)
    await ending.end_container(context, pod, container, target, deadline, turn=turn if before else None)


def _alive(context: NodeContext, uid: PodUid) -> list[ContainerStatus]:
    return [s for s in pod_state.instances(context.engine, uid) if s.state is not ContainerState.EXITED]


def _before(pod: Pod, status: ContainerStatus, alive: list[ContainerStatus]) -> list[ContainerStatus]:
    """What ends before a container does: a sidecar outlives everything that started after it."""
    names = [c.name for c in pod.init_containers]
    container = pod.find(status.config.name)
    if container is None or container.role is not Role.SIDECAR:
        return []
    earlier = set(names[: names.index(container.name) + 1])
    return [other for other in alive if other.config.name not in earlier]


async def remove(context: NodeContext, pod: Pod) -> None:
    """Remove sandboxes, containers, volumes, logs and back-offs of a Pod. Idempotent."""
    for sandbox in pod_state.sandboxes_of(context.engine, pod.uid):
        await context.engine.stop_sandbox(sandbox.id)
        await context.engine.remove_sandbox(sandbox.id)
    await asyncio.to_thread(_remove_logs, context, pod)  # before its folder, by which a later start knows that they are ours
    await asyncio.to_thread(volumes.remove, context.settings.paths.pods, pod.uid)
    neighbours.weigh(context.store, context.engine, pod.spec)
    context.crashes.forget_where(pod.uid)
    context.pulls.forget_where(pod.uid)


def remove_orphaned_folders(paths: Paths, known: set[PodUid]) -> None:
    """Delete logs and volumes of Pods nobody knows any more. Blocks on the disk.

    Only of those that have a folder here: a kubelet of this machine keeps its Pods' logs in the same place.
    """
    for home in paths.pods.glob("*"):
        if home.name not in known:
            for logs in paths.log.glob(f"*_*_{glob.escape(home.name)}"):
                shutil.rmtree(logs, ignore_errors=True)
            volumes.remove(paths.pods, PodUid(home.name))


def _remove_logs(context: NodeContext, pod: Pod) -> None:
    shutil.rmtree(configs.log_directory(pod, context.settings.paths.log), ignore_errors=True)


def _remaining(pod: Pod, gone: bool, stop_by: float, seen: float | None) -> float:
    """Seconds of grace. ``seen``: when the deletion was, by the monotonic clock; the object's time is whole seconds, of a clock that may
    have been put back, and serves a server that came later."""
    if gone:
        return 0.0
    grace = float(pod.raw["metadata"].get("deletionGracePeriodSeconds", pod.grace_seconds))
    if pod.delete_by is not None and seen is not None:
        return max(0.0, grace - (time.monotonic() - seen))
    left = (stop_by if pod.delete_by is None else pod.delete_by) - time.time()
    return min(max(0.0, left), max(grace, float(pod.grace_seconds)))


async def let_go(store: Store, pod: JSON) -> None:
    """Delete the object, as a kubelet's last DELETE with grace 0 does; finalizers hold it back."""
    namespace, name, uid = (pod["metadata"][key] for key in ("namespace", "name", "uid"))

    def without_grace(raw: JSON) -> JSON | None:
        metadata = raw["metadata"]
        if metadata["uid"] != uid or metadata.get("deletionGracePeriodSeconds") == 0:
            return None
        return raw | {"metadata": metadata | {"deletionGracePeriodSeconds": 0}}

    found = store.get("pods", namespace, name)
    if found is None or found["metadata"]["uid"] != uid:
        return
    try:
        if found["metadata"].get("finalizers"):
            await store.mutate("pods", namespace, name, without_grace)
        else:
            await store.delete("pods", namespace, name)
    except errors.NotFound:
        return

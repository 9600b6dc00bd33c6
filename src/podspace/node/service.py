"""The node agent: a stream of Pod changes in, one worker per Pod, the engine's events handed to whom they concern.

Started by ``daemon``. It owns the workers' tasks; a Pod's trouble stays with its worker, trouble here ends the server.
"""

from __future__ import annotations

import asyncio
import logging
import time

from podspace import errors
from podspace.aio import together
from podspace.kube.json import JSON
from podspace.node import claims, neighbours, pod_state, recorder, termination
from podspace.node.context import NodeContext
from podspace.node.pod import PodUid
from podspace.node.storage_watch import StorageWatch
from podspace.node.worker import PodWorker

log = logging.getLogger(__name__)
EVENT_SWEEP_SECONDS = 600.0


class NodeAgent:
    """Runs the Pods that are bound to this node."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._workers: dict[PodUid, PodWorker] = {}
        self._storage = StorageWatch(context, lambda: list(self._workers.values()))

    async def run(self, ready: asyncio.Event) -> None:
        """Adopt what runs, then follow the store until cancelled. ``ready`` is set once every Pod has its worker."""
        self._context.engine.on_network_change(self.wake_all)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_engine())
            tasks.create_task(self._sweep_events())
            tasks.create_task(self._storage.run())
            for resource in ("configmaps", "secrets", "serviceaccounts", claims.CLAIMS):
                tasks.create_task(self._follow_references(resource))
            await self._follow_pods(tasks, ready)

    def wake_all(self) -> None:
        """What every Pod may wait for has changed."""
        for worker in self._workers.values():
            worker.wake()

    async def finish_removals(self) -> None:
        """Wait for the Pods whose objects are gone: nobody would ask for the rest of their removal before the next start."""
        await asyncio.gather(*(worker.ended.wait() for worker in self._workers.values() if worker.gone))

    async def stop_pods(self) -> None:
        """Stop everything that runs and keep the objects: ``serve --stop-pods`` on its way out."""
        await together.every(self._stop_pod(worker) for worker in self._workers.values())

    async def _stop_pod(self, worker: PodWorker) -> None:
        engine, pod = self._context.engine, worker.pod
        await worker.hold()
        stop_by = time.time() + pod.grace_seconds
        await termination.stop_containers(self._context, lambda: pod, worker.state, gone=lambda: worker.gone, stop_by=stop_by)
        for sandbox in pod_state.sandboxes_of(engine, pod.uid):
            await engine.stop_sandbox(sandbox.id)
            await engine.remove_sandbox(sandbox.id)

    async def _follow_pods(self, tasks: asyncio.TaskGroup, ready: asyncio.Event) -> None:
        store = self._context.store
        while True:
            pods, revision = store.list("pods")
            with store.watch("pods", since=revision) as watch:
                self._adopt(pods, tasks)
                await self._remove_strangers()
                ready.set()
                try:
                    async for change in watch:
                        self._take(change.obj, tasks, deleted=change.kind == "DELETED")
                        if change.kind == "DELETED" or neighbours.gives_way(change.obj, change.previous):
                            self._wake_those_that_wait_for_room()
                except errors.Expired:
                    log.warning("fell behind the store; reading all Pods again")
                    continue
            return

    def _adopt(self, pods: list[JSON], tasks: asyncio.TaskGroup) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        for uid, worker in list(self._workers.items()):
            if uid not in present:
                worker.vanished()
        for pod in pods:
            self._take(pod, tasks, deleted=False)

    def _take(self, raw: JSON, tasks: asyncio.TaskGroup, *, deleted: bool) -> None:
        uid = PodUid(raw["metadata"]["uid"])
        worker = self._workers.get(uid)
        if worker is not None:
            worker.vanished() if deleted else worker.changed(raw)
        elif not deleted and raw["spec"].get("nodeName") == self._context.facts.name:
            worker = self._workers[uid] = PodWorker(self._context, raw, removed=self._forget)
            self._storage.consider(worker.pod)
            tasks.create_task(worker.run(), name=f"pod {raw['metadata']['namespace']}/{raw['metadata']['name']}")

    def _wake_those_that_wait_for_room(self) -> None:
        for worker in self._workers.values():
            if worker.waits_for_room:
                worker.wake()

    def _forget(self, uid: PodUid) -> None:
        self._workers.pop(uid, None)

    async def _remove_strangers(self) -> None:
        """Sandboxes whose Pod was deleted while the server was away, and folders of Pods nobody knows."""
        engine = self._context.engine
        for sandbox in engine.sandboxes(owner="node"):
            if PodUid(sandbox.config.uid) not in self._workers:
                try:
                    await engine.stop_sandbox(sandbox.id)
                    await engine.remove_sandbox(sandbox.id)
                except (errors.PodspaceError, OSError) as error:  # the next start tries again
                    log.warning("sandbox %s of a Pod that is gone cannot be removed: %s", sandbox.id, error)
        await asyncio.to_thread(termination.remove_orphaned_folders, self._context.settings.paths, set(self._workers))

    async def _follow_engine(self) -> None:
        """An exit wakes the worker of the Pod it happened in."""
        engine = self._context.engine
        async for event in engine.events():
            try:
                uid = PodUid(engine.sandbox(event.sandbox_id).config.uid)
            except errors.NotFound:
                continue
            if worker := self._workers.get(uid):
                worker.wake()

    async def _follow_references(self, resource: str) -> None:
        """An object that came or changed may be what a container waits for, or be shown by its volumes."""
        while True:
            with self._context.store.watch(resource) as watch:
                try:
                    async for change in watch:
                        for worker in self._workers.values():
                            worker.reference_changed(change.namespace)
                except errors.Expired:
                    continue
            return

    async def _sweep_events(self) -> None:
        while True:
            await recorder.drop_old(self._context.store, now=time.time())
            await asyncio.sleep(EVENT_SWEEP_SECONDS)

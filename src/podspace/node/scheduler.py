"""Binding Pods to this node, or saying in a scheduler's words why not.

The whole of scheduling on one machine: does the Pod fit (``fit``), does it ask for what is not honoured (``support``), are its claims bound
(``claims``)? One that may not run stays Pending with ``FailedScheduling`` and is looked at again when it, the node, or what it waits for
changes. Nothing is preempted. Source: kube-scheduler; KEP-3521 (scheduling gates).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from podspace import errors
from podspace.aio import supervised
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.node import claims, fit, neighbours, pod_affinity, requests, support, termination
from podspace.node.claim_controller import ClaimController
from podspace.node.recorder import Recorder
from podspace.store.change import Change
from podspace.store.store import Store

log = logging.getLogger(__name__)
RETRY_SECONDS = 10.0


class Scheduler:
    """Watches Pods without a node and binds those that fit."""

    def __init__(self, store: Store, recorder: Recorder, volumes: ClaimController, *, node_name: str) -> None:
        self._store = store
        self._volumes = volumes
        self._recorder = recorder
        self._node_name = node_name
        self._postponed = asyncio.Event()
        self._around: tuple[int, fit.Surroundings | None] = (0, None)
        self._sociable = False  # a Pod waits that wants to be with others, or without

    async def run(self) -> None:
        """Follow the store until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_node())
            for resource in (claims.CLAIMS, claims.VOLUMES):
                tasks.create_task(self._follow_volumes(resource))
            tasks.create_task(self._retry())
            await self._follow_pods()

    async def _follow_pods(self) -> None:
        while True:
            pods, revision = self._store.list("pods")
            with self._store.watch("pods", since=revision) as watch:
                for pod in pods:  # those for nodes that are not here, too
                    await self._tried(pod)
                try:
                    async for change in watch:
                        if change.kind != "DELETED" and _is_of_interest(change.obj, change.previous):
                            await self._tried(change.obj)
                        if self._may_help_others(change):
                            await self._look_again()
                except errors.Expired:
                    continue
            return

    def _may_help_others(self, change: Change) -> bool:
        """Whether a Pod that left, shrank, or is one that others want to be with may let those in that wait."""
        pod, before = change.obj, change.previous
        if change.kind == "DELETED" or neighbours.gives_way(pod, before):
            return True
        if not self._sociable or not pod["spec"].get("nodeName"):
            return False
        if before is None or not before["spec"].get("nodeName"):
            return True
        return bool(before["metadata"].get("labels") != pod["metadata"].get("labels"))

    async def _follow_node(self) -> None:
        """A taint or cordon taken away may let waiting Pods in."""
        while True:
            with self._store.watch("nodes") as watch:
                try:
                    async for change in watch:
                        if change.previous is None or change.previous.get("spec") != change.obj.get("spec"):
                            await self._look_again()
                except errors.Expired:
                    continue
            return

    async def _follow_volumes(self, resource: str) -> None:
        """A claim that is there, or bound, may be what a Pod waits for."""
        while True:
            with self._store.watch(resource) as watch:
                try:
                    async for change in watch:
                        if change.kind != "DELETED":
                            await self._look_again()
                except errors.Expired:
                    continue
            return

    async def _tried(self, pod: JSON) -> None:
        """One Pod's trouble is neither the others' nor the server's."""
        await supervised.tried(log, f"scheduling pod {pod['metadata']['namespace']}/{pod['metadata']['name']}", self._consider(pod))

    async def _consider(self, told: JSON) -> None:
        pod = self._store.get("pods", told["metadata"]["namespace"], told["metadata"]["name"])
        if pod is None or pod["metadata"]["uid"] != told["metadata"]["uid"]:
            return  # it is gone by now
        spec = pod["spec"]
        if spec.get("nodeName", self._node_name) != self._node_name and not neighbours.is_over(pod):
            await self._foreign(pod)
        if spec.get("nodeName") or spec.get("schedulingGates") or pod["metadata"].get("deletionTimestamp") or neighbours.is_over(pod):
            return
        if spec.get("schedulerName", "default-scheduler") != "default-scheduler":
            words = f"there is no scheduler {spec['schedulerName']} here; the Pod waits until somebody binds it"
            self._recorder.warning(pod, "FailedScheduling", words)
            return
        try:
            why_not = await self._why_not(pod)
            self._sociable |= why_not is not None and pod_affinity.uses(pod)
            await (self._bind(pod) if why_not is None else self._refuse(pod, why_not))
        except (errors.Unavailable, OSError) as error:
            log.warning("scheduling %s again later: %s", pod["metadata"]["name"], error)
            self._postponed.set()

    async def _foreign(self, pod: JSON) -> None:
        """Nobody runs it, and so nobody ends it: it goes when it is deleted, as a cluster's collector of Pods has it."""
        if pod["metadata"].get("deletionTimestamp"):
            try:
                await termination.let_go(self._store, pod)
            except (errors.Unavailable, OSError) as error:
                log.warning("removing %s again later: %s", pod["metadata"]["name"], error)
                self._postponed.set()
        else:
            self._recorder.warning(pod, "FailedScheduling", f"there is no node {pod['spec']['nodeName']} here; the Pod will not run")

    async def _retry(self) -> None:
        """A store that could not write (a full disk) may be able to by now."""
        while True:
            await self._postponed.wait()
            await asyncio.sleep(RETRY_SECONDS)
            self._postponed.clear()
            await self._look_again()

    async def _why_not(self, pod: JSON) -> str | None:
        node = self._store.get("nodes", "", self._node_name)
        if node is None or (why_not := misfit(pod, node)):
            return misfit(pod, node)
        if next(claims.used_by(pod), None) is not None:
            await self._volumes.settle()
            if why_not := claims.obstacle(pod, self._store.get, node, self._store.list("pods")[0]):
                return why_not
        found = fit.misfit(pod, self._surroundings(node))
        return None if found is None else found.sentence(pod["spec"])

    def _surroundings(self, node: JSON) -> fit.Surroundings:
        """Of now; looked at anew when anything has changed, not for each of many Pods that wait."""
        revision, around = self._around
        if around is None or revision != self._store.revision:
            running = neighbours.of(self._store)
            around = fit.Surroundings(node=node, pods=running, held=requests.load(running), namespaces=self._namespaces)
            self._around = (self._store.revision, around)
        return around

    def _namespaces(self) -> dict[str, JSON]:
        return {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in self._store.list("namespaces")[0]}

    async def _look_again(self) -> None:
        """A Pod that left may have made room for those that wait; one of a node that is not here may not have been removed yet."""
        pods = self._store.list("pods")[0]
        doomed = [pod for pod in pods if pod["metadata"].get("deletionTimestamp") and pod["spec"].get("nodeName") != self._node_name]
        for pod in (*in_turn(pods), *doomed):
            await self._tried(pod)

    async def _bind(self, pod: JSON) -> None:
        metadata = pod["metadata"]
        now = times.rfc3339(time.time())
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}

        def bind(raw: JSON) -> JSON | None:
            if raw["metadata"]["uid"] != metadata["uid"] or raw["spec"].get("nodeName"):
                return None
            return with_condition(raw | {"spec": raw["spec"] | {"nodeName": self._node_name}}, scheduled)

        try:
            await self._store.mutate("pods", metadata["namespace"], metadata["name"], bind, durable=False)
        except errors.NotFound:
            return
        message = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {self._node_name}"
        self._recorder.normal(pod, "Scheduled", message)

    async def _refuse(self, pod: JSON, why_not: str) -> None:
        metadata = pod["metadata"]
        message = f"0/1 nodes are available: {why_not}"
        now = times.rfc3339(time.time())
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}

        def refuse(raw: JSON) -> JSON | None:
            if raw["metadata"]["uid"] != metadata["uid"] or raw["spec"].get("nodeName"):
                return None
            before: JSON = next((c for c in (raw.get("status") or {}).get("conditions") or () if c["type"] == "PodScheduled"), {})
            if before.get("message") == message:
                return None
            seen = {"observedGeneration": raw["metadata"].get("generation", 1)}
            return with_condition(raw, condition | seen | {"lastProbeTime": None, "lastTransitionTime": now})

        try:
            await self._store.mutate("pods", metadata["namespace"], metadata["name"], refuse, durable=False)
        except errors.NotFound:
            return
        self._recorder.warning(pod, "FailedScheduling", message)


def in_turn(pods: Iterable[JSON]) -> list[JSON]:
    """Those that wait for a node, of higher priority first, then those that have waited longest. Pure."""
    waiting = [pod for pod in pods if not pod["spec"].get("nodeName")]
    return sorted(waiting, key=lambda pod: (-pod["spec"].get("priority", 0), pod["metadata"].get("creationTimestamp", "")))


def with_condition(pod: JSON, condition: JSON) -> JSON:
    """Return the Pod with one condition replaced or added."""
    status = pod.get("status") or {}
    others = [c for c in status.get("conditions") or () if c["type"] != condition["type"]]
    return pod | {"status": status | {"conditions": [*others, condition]}}


def _is_of_interest(pod: JSON, previous: JSON | None) -> bool:
    """Whether the change is one that scheduling looks at (our own condition writes are not)."""
    if previous is None or previous["spec"] != pod["spec"]:
        return True
    return "deletionTimestamp" in pod["metadata"] and "deletionTimestamp" not in previous["metadata"]


def misfit(pod: JSON, node: JSON | None) -> str | None:
    """Return why the Pod cannot run on the node whoever else is there, None if it can. Pure."""
    if node is None:
        return "the node is not registered yet."
    if found := fit.of_node(pod, node):
        return found.sentence(pod["spec"])
    fields = support.unsupported(pod)
    return f"{support.in_words(fields)}." if fields else None

"""Deleting the Pods that do not bear a taint of this node with effect NoExecute: at once, or after their tolerationSeconds.

A service beside the scheduler; in a cluster the controller manager has it. It marks the object as deleted, as the API does; the Pod's
worker does the rest. Source: kubernetes pkg/controller/tainteviction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

from podspace import errors
from podspace.aio import supervised
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.node import fit, neighbours, scheduler
from podspace.node.recorder import Recorder
from podspace.store.store import Store

log = logging.getLogger(__name__)
RETRY_SECONDS = 10.0
_WORDS = "Taint manager: deleting due to NoExecute taint"


def bears_seconds(spec: JSON, taints: Iterable[JSON]) -> float | None:
    """How long a Pod bears the NoExecute taints among these from when they are there: 0 = not, None = for ever. Pure."""
    limits: list[float] = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        matching = [one for one in spec.get("tolerations") or () if fit.tolerated_by(one, taint)]
        if not matching:
            return 0.0
        limits += [max(0.0, float(one["tolerationSeconds"])) for one in matching if one.get("tolerationSeconds") is not None]
    return min(limits, default=None)


class TaintEviction:
    """Watches the node's taints and the Pods on it."""

    def __init__(self, store: Store, recorder: Recorder, *, node_name: str) -> None:
        self._store = store
        self._recorder = recorder
        self._node_name = node_name
        self._since: dict[str, float] = {}  # uid -> when its Pod was first seen to bear the taints (monotonic)
        self._wakeup = asyncio.Event()

    async def run(self) -> None:
        """Follow the store until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for resource in ("nodes", "pods"):
                tasks.create_task(self._follow(resource))
            while True:
                self._wakeup.clear()
                wake_at = await self._sweep()
                try:
                    async with asyncio.timeout(None if wake_at is None else max(0.0, wake_at - time.monotonic())):
                        await self._wakeup.wait()
                except TimeoutError:
                    continue

    async def _follow(self, resource: str) -> None:
        while True:
            with self._store.watch(resource) as watch:
                try:
                    async for change in watch:
                        if change.previous is None or change.previous["spec"] != change.obj["spec"]:
                            self._note(resource, change.obj)
                except errors.Expired:
                    self._wakeup.set()
                    continue
            return

    def _note(self, resource: str, obj: JSON) -> None:
        """Pods matter as long as there is a taint."""
        if resource == "nodes" or self._taints():
            self._wakeup.set()

    def _taints(self) -> list[JSON]:
        node = self._store.get("nodes", "", self._node_name)
        return [taint for taint in fit.taints(node) if taint.get("effect") == "NoExecute"] if node is not None else []

    async def _sweep(self) -> float | None:
        """Delete what has borne it long enough; return when the next one will have."""
        taints = self._taints()
        if not taints and not self._since:
            return None
        due: list[float] = []
        here = [pod for pod in neighbours.of(self._store) if pod["spec"]["nodeName"] == self._node_name]
        for pod in here:
            seconds = None if pod["metadata"].get("deletionTimestamp") else bears_seconds(pod["spec"], taints)
            if seconds is None:
                self._let_be(pod)
                continue
            at = self._since.setdefault(pod["metadata"]["uid"], time.monotonic()) + seconds
            if at > time.monotonic():
                due.append(at)
            elif not await supervised.tried(log, f"evicting pod {_full_name(pod)}", self._evict(pod)):
                due.append(time.monotonic() + RETRY_SECONDS)
        known = {pod["metadata"]["uid"] for pod in here}
        self._since = {uid: since for uid, since in self._since.items() if uid in known}
        return min(due, default=None)

    def _let_be(self, pod: JSON) -> None:
        if self._since.pop(pod["metadata"]["uid"], None) is not None and not pod["metadata"].get("deletionTimestamp"):
            self._recorder.normal(pod, "TaintManagerEviction", f"Cancelling deletion of Pod {_full_name(pod)}")

    async def _evict(self, pod: JSON) -> None:
        """Mark the Pod as deleted. Raises: Unavailable (the store cannot be written just now)."""
        metadata = pod["metadata"]
        self._recorder.normal(pod, "TaintManagerEviction", f"Marking for deletion Pod {_full_name(pod)}")
        with contextlib.suppress(errors.NotFound):
            await self._store.mutate("pods", metadata["namespace"], metadata["name"], lambda raw: _marked(raw, metadata["uid"]))


def _full_name(pod: JSON) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _marked(raw: JSON, uid: str) -> JSON | None:
    """The object as it is once somebody has deleted it, with the reason in a condition."""
    metadata = raw["metadata"]
    if metadata["uid"] != uid or metadata.get("deletionTimestamp"):
        return None
    now = time.time()
    grace = int(raw["spec"].get("terminationGracePeriodSeconds", 30))
    deletion = {"deletionTimestamp": times.rfc3339(now + grace), "deletionGracePeriodSeconds": grace}
    why = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": _WORDS}
    told = scheduler.with_condition(raw, why | {"lastProbeTime": None, "lastTransitionTime": times.rfc3339(now)})
    return told | {"metadata": metadata | deletion | {"generation": metadata.get("generation", 1) + 1}}

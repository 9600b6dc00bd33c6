"""One Pod's worker: the only task that changes anything of that Pod on this machine, so nothing of it needs a lock.

It sleeps until the object changes, something of it exits, or a back-off runs out; then it observes, asks ``decide``, acts,
and writes the status. A deletion wakes it at any time. It knows the engine's verbs and the store; what to do when is
``decide``'s, how a container is made is ``starting``'s, how a Pod ends is ``termination``'s.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable

from podspace import errors
from podspace.kube.json import JSON
from podspace.node import admission, decide, neighbours, pod_state, podstatus_writer, resizer, resizing, starting, support, termination
from podspace.node.context import NodeContext
from podspace.node.pod import Pod, PodUid, parse
from podspace.node.pulls import Puller
from podspace.node.replacing import Replacer

log = logging.getLogger(__name__)
RETRY_SECONDS = 10.0


class PodWorker:
    """Owns one Pod from its binding to its removal. ``changed`` and ``wake`` are called by the service, never awaited."""

    def __init__(self, context: NodeContext, raw: JSON, *, removed: Callable[[PodUid], None]) -> None:
        self._raw = raw  # as its owner wants it
        self.state = pod_state.PodState(uid=PodUid(raw["metadata"]["uid"]), resize=resizing.begin(raw))
        self.pod: Pod = parse(self.state.resize.view(raw))  # as it may be run
        self.gone = False  # the object left the store before its containers did
        self.ended = asyncio.Event()  # nothing of the Pod is left
        self._held = False
        self._busy = asyncio.Lock()
        self._context = context
        self._removed = removed
        self._wakeup = asyncio.Event()

    def changed(self, raw: JSON) -> None:
        """Take the newest object. Our own status writes come back this way too and do not wake us."""
        before, seen = self.pod, self._raw
        self._raw = raw
        self.pod = parse(self.state.resize.view(raw))
        if _wakes(seen, raw):
            self.state.volumes_stale = True
            self._forget_old_images(before)
            if self.pod.delete_by is not None:
                self.state.deletion.set()
            self._wakeup.set()

    def _forget_old_images(self, before: Pod) -> None:
        """What held up a container does not hold up the one with its new image."""
        for container in self.pod.every_container():
            old = before.find(container.name)
            if old is not None and old.image != container.image:
                self.state.retry_at.pop(container.name, None)
                self.state.problems.pop(container.name, None)

    def vanished(self) -> None:
        """The object is gone from the store (deleted with grace 0): everything of it goes at once."""
        self.gone = True
        self.state.deletion.set()
        self._wakeup.set()

    async def hold(self) -> None:
        """Start nothing any more; return once the round in hand is over. For a server that takes its Pods along."""
        self._held = True
        async with self._busy:
            pass

    def wake(self) -> None:
        self._wakeup.set()

    def reference_changed(self, namespace: str) -> None:
        """A ConfigMap or Secret of this namespace changed: containers that could not be configured are tried again now."""
        if namespace != self.pod.namespace:
            return
        held = [name for name, problem in self.state.problems.items() if problem.reason == "CreateContainerConfigError"]
        for name in held:
            self.state.retry_at.pop(name, None)
        if self.pod.spec.get("volumes"):
            self.state.volumes_stale = True
        if held or self.pod.spec.get("volumes"):
            self._wakeup.set()

    async def run(self) -> None:
        """Return when nothing of the Pod is left. Whatever goes wrong is this Pod's trouble alone: logged, and tried again later."""
        while not self._ending():
            try:
                await self._live()
            except Exception:
                log.exception("pod %s: a bug in podspace; trying again in %.0f s", self.pod.full_name, RETRY_SECONDS)
                await self._sleep(time.monotonic() + RETRY_SECONDS)
        await self._end()
        self.ended.set()
        self._removed(self.pod.uid)

    async def _live(self) -> None:
        """Round after round until the Pod is to go. Owns the Pod's image pulls."""
        async with asyncio.TaskGroup() as tasks:
            puller = Puller(
                images=self._context.images, recorder=self._context.recorder, backoff=self._context.pulls, tasks=tasks, wake=self.wake
            )
            replacer = Replacer(self._context, self.state, tasks, wake=self.wake)
            while not self._ending():
                wake_at = await self._guarded(puller, replacer)
                await self._sleep(wake_at)
            puller.cancel()
            replacer.cancel()

    def _ending(self) -> bool:
        return self.gone or self.pod.delete_by is not None

    async def _sleep(self, wake_at: float | None) -> None:
        try:
            async with asyncio.timeout(None if wake_at is None else max(0.0, wake_at - time.monotonic())):
                await self._wakeup.wait()
        except TimeoutError:
            pass
        self._wakeup.clear()

    async def _guarded(self, puller: Puller, replacer: Replacer) -> float | None:
        """One round; what the engine or the store refuses is told and tried again."""
        try:
            async with self._busy:
                return None if self._held else await self._round(puller, replacer)
        except (errors.PodspaceError, OSError) as error:
            log.warning("pod %s: %s", self.pod.full_name, error)
            self._context.recorder.warning(self.pod.raw, "FailedSync", f"error determining status: {error}")
        return time.monotonic() + RETRY_SECONDS

    async def _round(self, puller: Puller, replacer: Replacer) -> float | None:
        if resizer.reconsider(self._context, self._raw, self.state.resize):
            self.pod = parse(self._raw)
        observed = pod_state.observe(self._context.engine, self.pod, self.state.replaced)
        self.state.note_exits(self._context, self.pod, observed)
        if observed.sandbox is None and not await self._admit():
            return None
        plan = decide.decide(self.pod, observed, now=time.monotonic(), due=lambda c, at: self.state.due(self._context, c, at))
        if plan.finished or self.pod.phase in ("Succeeded", "Failed"):
            await termination.release(self._context, lambda: self.pod, self.state, observed, gone=lambda: self.gone)
            await self._write()
            return None
        if plan.kill_sandbox or plan.create_sandbox:
            if not await starting.renew_sandbox(self._context, self.pod, self.state, observed):
                await self._write()
                return time.monotonic() + RETRY_SECONDS
            self._wakeup.set()  # decide again with the new sandbox
            return None
        replacer.stop(self.pod, plan.stop, observed)
        wake_at = await starting.start_all(self._context, self.pod, self.state, plan, puller)
        if self.state.resize.unsettled and not await self._settle(replacer):
            wake_at = min(time.monotonic() + RETRY_SECONDS, wake_at or math.inf)
        await self._write()
        return wake_at

    async def _settle(self, replacer: Replacer) -> bool:
        """Give running containers the resources they are to have now. False: it is to be tried again."""
        observed = pod_state.observe(self._context.engine, self.pod, self.state.replaced)
        restart = await resizer.settle(self._context, self.pod, self.state.resize, observed)
        replacer.stop(self.pod, restart, observed, why="resize requires restart")
        return not self.state.resize.error

    @property
    def waits_for_room(self) -> bool:
        """Whether another Pod that leaves or shrinks may let this one grow."""
        return self.state.resize.pending is not None

    async def _admit(self) -> bool:
        """Whether a Pod that has not begun may begin; one that has failed without having begun never does."""
        if self.pod.phase in ("Succeeded", "Failed"):
            return False
        others = list(neighbours.admitted(self._context.store, self.pod.raw))
        if refused := admission.refusal(self.pod.raw, others, self._context.policy) or self._no_room(others):
            self._context.recorder.warning(self.pod.raw, refused.reason, refused.message)
            await podstatus_writer.reject(self._context, self.pod, refused)
            return False
        if fields := support.not_enforced(self.pod.raw):
            self._context.recorder.warning(self.pod.raw, "NotEnforced", f"podspace does not enforce {', '.join(fields)}")
        return True

    def _no_room(self, others: Iterable[JSON]) -> admission.Refusal | None:
        node = self._context.store.get("nodes", "", self._context.facts.name)
        return None if node is None else admission.no_room(self.pod.raw, others, node)

    async def _write(self) -> None:
        await podstatus_writer.write(self._context, self.pod, self.state)

    async def _end(self) -> None:
        while True:
            try:
                await termination.terminate(self._context, lambda: self.pod, self.state, gone=lambda: self.gone)
            except (errors.PodspaceError, OSError) as error:
                log.warning("pod %s: stopping: %s", self.pod.full_name, error)
                self._context.recorder.warning(self.pod.raw, "FailedKillPod", f"error killing pod: {error}")
            except Exception:
                log.exception("pod %s: a bug in podspace; stopping it again in %.0f s", self.pod.full_name, RETRY_SECONDS)
            else:
                return
            await self._sleep(time.monotonic() + RETRY_SECONDS)


def _wakes(before: JSON, after: JSON) -> bool:
    """Whether a change of the object can change what its worker does; a status written by ourselves can not."""
    old, new = before["metadata"], after["metadata"]
    watched = ("generation", "deletionTimestamp", "finalizers", "labels", "annotations")
    return any(old.get(field) != new.get(field) for field in watched) or before["spec"] != after["spec"]

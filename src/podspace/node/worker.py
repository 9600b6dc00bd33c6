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
from podspace.aio import together
from podspace.kube.json import JSON
from podspace.node import (
    active_deadline,
    admission,
    decide,
    neighbours,
    pod_state,
    podstatus_writer,
    resizer,
    resizing,
    restart_all,
    starting,
    storage_limits,
    termination,
)
from podspace.node.context import NodeContext
from podspace.node.decide import Observed, Stop, Why
from podspace.node.hooks import PostStarts
from podspace.node.pod import Pod, PodUid, parse
from podspace.node.prober import Prober
from podspace.node.pulls import Puller
from podspace.node.status import Problem
from podspace.node.stopper import Stopper

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
        self.state.done_with = restart_all.done_with(context.settings.paths.pods, self.pod.uid)

    def changed(self, raw: JSON) -> None:
        """Take the newest object. Our own status writes come back this way too and do not wake us."""
        before, seen = self.pod, self._raw
        self._raw = raw
        self.pod = parse(self.state.resize.view(raw))
        if before.gates != self.pod.gates:
            self._wakeup.set()
        if _wakes(seen, raw):
            self.state.volumes_stale = True
            self._forget_old_images(before)
            if self.pod.delete_by is not None:
                if before.delete_by is None:
                    self.state.deletion_seen = time.monotonic()
                self.state.deletion.tell()
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
        self.state.deletion.tell()
        self._wakeup.set()

    async def hold(self) -> None:
        """Start nothing any more; return once the round in hand is over. For a server that takes its Pods along."""
        self._held = True
        async with self._busy:
            pass

    def wake(self) -> None:
        self._wakeup.set()

    def evict(self, message: str) -> None:
        """Put an end to the Pod, for it has taken more of the disk than it may; told once."""
        over = self._ending() or self.pod.phase in ("Succeeded", "Failed")
        if over or self.state.failure is not None:
            return
        self.state.failure = Problem(reason=storage_limits.REASON, message=message)
        self.state.failure_grace_seconds = storage_limits.GRACE_SECONDS
        self._context.recorder.warning(self.pod.raw, storage_limits.REASON, message)
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
        async with asyncio.TaskGroup() as tasks:
            self._prober = Prober(self._context, self.state, tasks, wake=self.wake)
            while not self._ending():
                try:
                    await self._live()
                except Exception:
                    log.exception("pod %s: a bug in podspace; trying again in %.0f s", self.pod.full_name, RETRY_SECONDS)
                    await self._sleep(time.monotonic() + RETRY_SECONDS)
            self._prober.ending()
            self._wakeup.set()
            await together.first(self._end(), self._keep_status())
            self._prober.cancel()
        self.ended.set()
        self._removed(self.pod.uid)

    async def _live(self) -> None:
        """Round after round until the Pod is to go. Owns the Pod's image pulls, and what else is under way beside the rounds."""
        async with asyncio.TaskGroup() as tasks:
            puller = Puller(
                images=self._context.images, recorder=self._context.recorder, backoff=self._context.pulls, tasks=tasks, wake=self.wake
            )
            stopper = Stopper(self._context, self.state, tasks, wake=self.wake)
            hooks = PostStarts(self._context, self.state, tasks, wake=self.wake)
            while not self._ending():
                wake_at = await self._guarded(puller, stopper, hooks)
                await self._sleep(wake_at)
            for helper in (puller, stopper, hooks):
                helper.cancel()

    def _ending(self) -> bool:
        return self.gone or self.pod.delete_by is not None

    async def _sleep(self, wake_at: float | None) -> None:
        try:
            async with asyncio.timeout(None if wake_at is None else max(0.0, wake_at - time.monotonic())):
                await self._wakeup.wait()
        except TimeoutError:
            pass
        self._wakeup.clear()

    async def _guarded(self, puller: Puller, stopper: Stopper, hooks: PostStarts) -> float | None:
        """One round; what the engine or the store refuses is told and tried again."""
        try:
            async with self._busy:
                return None if self._held else await self._round(puller, stopper, hooks)
        except (errors.PodspaceError, OSError) as error:
            log.warning("pod %s: %s", self.pod.full_name, error)
            self._context.recorder.warning(self.pod.raw, "FailedSync", f"error determining status: {error}")
        return time.monotonic() + RETRY_SECONDS

    async def _round(self, puller: Puller, stopper: Stopper, hooks: PostStarts) -> float | None:
        if resizer.reconsider(self._context, self._raw, self.state.resize):
            self.pod = parse(self._raw)
        await restart_all.finish(self._context, self.pod, self.state)
        observed = self._observe()
        self.state.note_exits(self._context, self.pod, observed)
        if observed.sandbox is None and not await self._admit():
            return None
        if self._overdue() or self.state.failure is not None:
            await self._release(observed)
            return None
        plan = decide.decide(self.pod, observed, now=time.monotonic(), due=lambda c, at: self.state.due(self._context, c, at))
        if plan.finished or self.pod.phase in ("Succeeded", "Failed"):
            await self._release(observed)
            return None
        if plan.kill_sandbox or plan.create_sandbox:
            if not await starting.renew_sandbox(self._context, self.pod, self.state, observed):
                await self._write()
                return time.monotonic() + RETRY_SECONDS
            self._wakeup.set()  # decide again with the new sandbox
            return None
        if plan.restart_all:
            await self._restart_all(observed)
            return time.monotonic()
        stopper.stop(self.pod, plan.stop, observed)
        wake_at = await starting.start_all(self._context, self.pod, self.state, plan, puller, hooks)
        if self.state.resize.unsettled and not await self._settle(stopper):
            wake_at = min(time.monotonic() + RETRY_SECONDS, wake_at or math.inf)
        await self._write()
        return self._at_latest(wake_at)

    def _overdue(self) -> bool:
        """Whether the Pod has just used up its time; told once."""
        left = active_deadline.seconds_left(self.pod, time.time())
        if left is None or left > 0 or self.state.failure is not None or self.pod.phase in ("Succeeded", "Failed"):
            return False
        self.state.failure = active_deadline.EXCEEDED
        self._context.recorder.normal(self.pod.raw, self.state.failure.reason, self.state.failure.message)
        return True

    def _at_latest(self, wake_at: float | None) -> float | None:
        """When to look again: as planned, or sooner if the Pod's time is up before that."""
        left = active_deadline.seconds_left(self.pod, time.time())
        return wake_at if left is None else min(time.monotonic() + left, math.inf if wake_at is None else wake_at)

    async def _restart_all(self, observed: Observed) -> None:
        self.state.restarting = True
        try:
            await self._write()
            await restart_all.kill_all(self._context, self.pod, self.state, observed)
        finally:
            self.state.restarting = False
        await self._write()

    def _observe(self) -> Observed:
        return pod_state.observe(self._context.engine, self.pod, self.state)

    async def _release(self, observed: Observed) -> None:
        """Leave a Pod that is over with its dead containers; what is still to stop may take its grace, so tell first how it stands."""
        await self._write()
        await termination.release(self._context, lambda: self.pod, self.state, observed, gone=lambda: self.gone)
        await self._write()

    async def _keep_status(self) -> None:
        """While the Pod ends: its containers end one by one, and those with a readiness probe may become unready before that."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            try:
                await self._write()
            except (errors.PodspaceError, OSError) as error:
                log.warning("pod %s: its status is not written: %s", self.pod.full_name, error)
            except Exception:
                log.exception("pod %s: a bug in podspace: its status while it ends", self.pod.full_name)

    async def _settle(self, stopper: Stopper) -> bool:
        """Give running containers the resources they are to have now. False: it is to be tried again."""
        observed = self._observe()
        restart = await resizer.settle(self._context, self.pod, self.state.resize, observed)
        stopper.stop(self.pod, (Stop(container=c, why=Why.RESIZED, again=True) for c in restart), observed)
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
        if refused := admission.refusal(self.pod.raw, others, self._context.policy) or self._misplaced(others):
            self._context.recorder.warning(self.pod.raw, refused.reason, refused.message)
            await podstatus_writer.reject(self._context, self.pod, refused)
            return False
        return True

    def _misplaced(self, others: Iterable[JSON]) -> admission.Refusal | None:
        node = self._context.store.get("nodes", "", self._context.facts.name)
        return None if node is None else admission.misplaced(self.pod.raw, others, node)

    async def _write(self) -> None:
        if self.pod.is_probed:
            self._prober.follow(self.pod, self._observe())
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
            await together.first(self.state.deletion.wait(), asyncio.sleep(RETRY_SECONDS))


def _wakes(before: JSON, after: JSON) -> bool:
    """Whether a change of the object can change what its worker does; a status written by ourselves can not."""
    old, new = before["metadata"], after["metadata"]
    watched = ("generation", "deletionTimestamp", "finalizers", "labels", "annotations")
    return any(old.get(field) != new.get(field) for field in watched) or before["spec"] != after["spec"]

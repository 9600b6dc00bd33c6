"""Probing the running containers of one Pod: a timer each, and their health as it is known.

Owned by the Pod's worker, whose TaskGroup its tasks belong to. ``follow`` after every look starts what is to be probed and drops what is
gone; a change of health wakes the worker, which decides what to do about it. The rules are in ``probes``, the asking is ``attempts``'.
Source: kubelet pkg/kubelet/prober.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from podspace.kube.json import JSON
from podspace.node import attempts, pod_state, probes
from podspace.node.container_status import ID_PREFIX
from podspace.node.context import NodeContext
from podspace.node.decide import NANOS, Observed
from podspace.node.pod import Container, Pod
from podspace.node.pod_state import PodState
from podspace.node.probes import Answer, Kind, Outcome, Probe
from podspace.runtime.model import ContainerId, ContainerState, ContainerStatus

log = logging.getLogger(__name__)
_ERROR_TRIES = 3  # a question that could not be asked is asked again at once, as often as a kubelet does
_STATUS_LISTS = ("initContainerStatuses", "containerStatuses")


class Prober:
    """The probes under way of one Pod."""

    def __init__(self, context: NodeContext, state: PodState, tasks: asyncio.TaskGroup, *, wake: Callable[[], None]) -> None:
        self._context = context
        self._state = state
        self._tasks = tasks
        self._wake = wake
        self._running: dict[tuple[ContainerId, Kind], asyncio.Task[None]] = {}
        self._counts_from: dict[ContainerId, float] = {}  # by the monotonic clock
        self._adopted: set[ContainerId] = set()  # ran before this server did
        self._readiness_only = False

    def follow(self, pod: Pod, observed: Observed) -> None:
        """Probe what runs and is not probed yet, stop probing what has ended."""
        wanted: set[tuple[ContainerId, Kind]] = set()
        for container in (*pod.init_containers, *pod.containers):
            status = observed.containers.get(container.name)
            if not container.probes or status is None or status.state is not ContainerState.RUNNING or status.id in observed.starting:
                continue
            wanted |= {(status.id, kind) for kind in self._due(pod, container, status)}
            for key in wanted - self._running.keys():
                self._running[key] = self._tasks.create_task(self._run(pod, container, status, container.probes[key[1]], observed))
        for key in self._running.keys() - wanted:
            self._running.pop(key).cancel()
        alive = {status.id for status in observed.containers.values() if status.state is ContainerState.RUNNING}
        for identifier in self._state.health.keys() - alive:
            del self._state.health[identifier], self._counts_from[identifier]
            self._adopted.discard(identifier)

    def ending(self) -> None:
        """The Pod is to go: from now on only its readiness is of interest."""
        self._readiness_only = True

    def cancel(self) -> None:
        for task in self._running.values():
            task.cancel()

    def _due(self, pod: Pod, container: Container, status: ContainerStatus) -> frozenset[Kind]:
        health = self._state.health.get(status.id)
        if health is None:
            known = _known(pod, status)
            health = self._state.health[status.id] = probes.fresh(container.probes, known)
            self._counts_from[status.id] = time.monotonic() + (probes.SETTLE_SECONDS if known is None else 0.0)
            if known is not None:
                self._adopted.add(status.id)
        kinds = probes.due(container.probes, health)
        return kinds & {Kind.READINESS} if self._readiness_only else kinds

    async def _run(self, pod: Pod, container: Container, status: ContainerStatus, probe: Probe, observed: Observed) -> None:
        """Probe one instance until its kind of probe has no more to say. A bug here must not take the Pod's worker along."""
        target = attempts.Target(
            engine=self._context.engine, container=status.id, address=pod_state.address(self._context, pod, observed), ports=container.raw
        )
        try:
            await self._watch(pod, container, status, probe, target)
        except Exception:
            log.exception("pod %s: a bug in podspace: the %s probe of %s has ended", pod.full_name, probe.kind.value, container.name)

    async def _watch(self, pod: Pod, container: Container, status: ContainerStatus, probe: Probe, target: attempts.Target) -> None:
        started = time.monotonic() - max(0.0, time.time() - status.started_nanos / NANOS)
        at = max(started + probe.initial_delay_seconds, self._counts_from[status.id], time.monotonic())
        streak = probes.Streak()
        if status.id in self._adopted:  # not all probes of a machine at the same moment
            at = max(at, time.monotonic() + random.random() * probe.period_seconds)
        elif await _early(probe, target, started, at):
            streak, at = streak.then(True), time.monotonic() + probe.period_seconds
            if self._conclude(status.id, probe, streak):
                return
        while True:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            outcome = await _ask(target, probe)
            self._tell(pod, container, probe, outcome)
            if outcome.answer is not Answer.UNKNOWN:
                streak = streak.then(outcome.answer is not Answer.FAILURE)
                if self._conclude(status.id, probe, streak):
                    return
            at = max(at + probe.period_seconds, time.monotonic())

    def _conclude(self, identifier: ContainerId, probe: Probe, streak: probes.Streak) -> bool:
        """Note what the answers amount to, and say whether this probe has done its work."""
        verdict = probes.verdict(probe, streak)
        before = self._state.health.get(identifier)
        if verdict is None or before is None:
            return before is None
        health = self._state.health[identifier] = probes.after(before, probe.kind, verdict)
        if health != before:
            self._wake()
        return probe.kind not in probes.due({probe.kind: probe}, health)

    def _tell(self, pod: Pod, container: Container, probe: Probe, outcome: Outcome) -> None:
        kind, warning = probe.kind.value, self._context.recorder.warning
        match outcome.answer:
            case Answer.FAILURE:
                warning(pod.raw, "Unhealthy", f"{kind} probe failed: {outcome.text}", field_path=container.field_path)
            case Answer.UNKNOWN:
                words = f"{kind} probe errored and resulted in unknown state: {outcome.text}"
                warning(pod.raw, "Unhealthy", words, field_path=container.field_path)
            case Answer.WARNING:
                warning(pod.raw, "ProbeWarning", f"{kind} probe warning: {outcome.text}", field_path=container.field_path)


async def _early(probe: Probe, target: attempts.Target, started: float, until: float) -> bool:
    """Ask a container that has just started, before the answers count; return whether there was a good one."""
    for seconds in probes.eager_tries(probe):
        at = started + seconds
        if max(at, time.monotonic()) >= until:
            break
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        outcome = await attempts.attempt(target, probe.handler, probe.timeout_seconds)
        if outcome.answer is Answer.SUCCESS:
            return True
    return False


async def _ask(target: attempts.Target, probe: Probe) -> Outcome:
    outcome = Outcome(answer=Answer.UNKNOWN)
    for _ in range(_ERROR_TRIES):
        outcome = await attempts.attempt(target, probe.handler, probe.timeout_seconds)
        if outcome.answer is not Answer.UNKNOWN:
            break
    return outcome


def _known(pod: Pod, status: ContainerStatus) -> JSON | None:
    """The instance's entry of the Pod's status, if it has one: then a former server probed it."""
    entries = (entry for key in _STATUS_LISTS for entry in (pod.raw.get("status") or {}).get(key) or ())
    return next((entry for entry in entries if entry.get("containerID") == ID_PREFIX + status.id and "running" in entry["state"]), None)

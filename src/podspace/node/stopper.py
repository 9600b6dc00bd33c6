"""Stopping single containers of a Pod that lives on: their image was changed, or a probe wants them killed.

A Pod's worker names them after every look; each stops in a task of its own, because its grace may be long and the Pod may be
deleted meanwhile. Source: kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go computePodActions (ContainersToKill).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from podspace import errors
from podspace.node import attempts, ending, pod_state
from podspace.node.context import NodeContext
from podspace.node.decide import Observed, Stop
from podspace.node.pod import Pod
from podspace.node.pod_state import PodState
from podspace.runtime.model import ContainerId

log = logging.getLogger(__name__)


class Stopper:
    """The stops under way of one Pod."""

    def __init__(self, context: NodeContext, state: PodState, tasks: asyncio.TaskGroup, *, wake: Callable[[], None]) -> None:
        self._context = context
        self._state = state
        self._tasks = tasks
        self._wake = wake
        self._running: dict[ContainerId, asyncio.Task[None]] = {}

    def stop(self, pod: Pod, stops: Iterable[Stop], observed: Observed) -> None:
        """Begin to stop what does not stop yet; the exit wakes the worker."""
        for wanted in stops:
            container = wanted.container
            identifier = observed.containers[container.name].id
            if identifier not in self._running:
                self._context.recorder.normal(pod.raw, "Killing", wanted.words, field_path=container.field_path)
                if wanted.again:
                    self._state.replaced.add(identifier)
                target = attempts.Target(
                    engine=self._context.engine,
                    container=identifier,
                    address=pod_state.address(self._context, pod, observed),
                    ports=container.raw,
                )
                self._running[identifier] = self._tasks.create_task(self._stop(pod, wanted, target))

    def cancel(self) -> None:
        """Leave the rest to the Pod's end, which knows its own grace."""
        for task in self._running.values():
            task.cancel()

    async def _stop(self, pod: Pod, wanted: Stop, target: attempts.Target) -> None:
        grace = pod.grace_seconds if wanted.grace_seconds is None else wanted.grace_seconds
        try:
            await ending.end_container(self._context, pod, wanted.container, target, ending.Deadline.within(grace))
        except (errors.PodspaceError, OSError) as error:
            log.warning("container %s: stopping it because it %s: %s", target.container, wanted.why.value, error)
        finally:
            self._running.pop(target.container, None)
        self._wake()

"""Stopping containers whose image was changed under them (``kubectl set image``), so that they start again with the new one.

A Pod's worker names them after every look; each stops in a task of its own, because its grace may be long and the Pod may be
deleted meanwhile. Source: kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go computePodActions (containerChanged).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from podspace import errors
from podspace.node.context import NodeContext
from podspace.node.decide import Observed
from podspace.node.pod import Container, Pod
from podspace.node.pod_state import PodState
from podspace.runtime.model import ContainerId

log = logging.getLogger(__name__)


class Replacer:
    """The stops under way of one Pod."""

    def __init__(self, context: NodeContext, state: PodState, tasks: asyncio.TaskGroup, *, wake: Callable[[], None]) -> None:
        self._context = context
        self._state = state
        self._tasks = tasks
        self._wake = wake
        self._running: dict[ContainerId, asyncio.Task[None]] = {}

    def stop(
        self, pod: Pod, containers: Iterable[Container], observed: Observed, *, why: str = "definition changed, will be restarted"
    ) -> None:
        """Begin to stop what does not stop yet; the exit wakes the worker."""
        for container in containers:
            identifier = observed.containers[container.name].id
            if identifier not in self._running:
                words = f"Container {container.name} {why}"
                self._context.recorder.normal(pod.raw, "Killing", words, field_path=container.field_path)
                self._state.replaced.add(identifier)
                self._running[identifier] = self._tasks.create_task(self._stop(identifier, pod.grace_seconds))

    def cancel(self) -> None:
        """Leave the rest to the Pod's end, which knows its own grace."""
        for task in self._running.values():
            task.cancel()

    async def _stop(self, identifier: ContainerId, grace_seconds: int) -> None:
        try:
            await self._context.engine.stop_container(identifier, grace_seconds)
        except (errors.PodspaceError, OSError) as error:
            log.warning("container %s: stopping it for its new image: %s", identifier, error)
        finally:
            self._running.pop(identifier, None)
        self._wake()

"""Exec, attach, logs and port-forward into running Pods: what the API front door asks of the node (its ``Backend``).

Names of containers were checked against the spec before; here they are looked up among what runs. Nothing queues behind a Pod's
worker: reading and executing never wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from podspace import errors
from podspace.kube.json import JSON
from podspace.node import logs, pod_state
from podspace.node.container_status import ID_PREFIX
from podspace.node.pod import Pod, parse
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState, ContainerStatus
from podspace.wire.logoptions import LogOptions
from podspace.wire.streams import Streams

_IN_WORDS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}  # as a kubelet tells of them


class PodStreams:
    """Fulfils ``api.backend.Backend``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def refusal(self, pod: JSON, container: str, *, attach: bool) -> str:
        try:
            self._running(parse(pod), container, attach=attach)
        except errors.FailedPrecondition as error:
            return str(error)
        return ""

    async def exec(self, pod: JSON, container: str, argv: Sequence[str], streams: Streams) -> int:
        status = self._running(parse(pod), container, attach=False)
        return await self._engine.exec(status.id, argv, streams)

    async def attach(self, pod: JSON, container: str, streams: Streams) -> None:
        status = self._running(parse(pod), container, attach=True)
        await self._engine.attach(status.id, streams)

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        view = parse(pod)
        status = self._instance(view, container, previous=options.previous)
        async for chunk in logs.read(self._engine, status, options):
            yield chunk

    async def port_forward(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        observed = pod_state.observe(self._engine, parse(pod))
        if observed.sandbox is None or not observed.ready:
            raise errors.Unavailable(f"pod {pod['metadata']['name']} is not running")
        return await self._engine.port_forward(observed.sandbox.id, port)

    def _running(self, pod: Pod, container: str, *, attach: bool) -> ContainerStatus:
        """Raises: FailedPrecondition in a kubelet's words, which knows running containers only."""
        status = pod_state.observe(self._engine, pod).containers.get(container)
        if status is None or status.state is not ContainerState.RUNNING:
            where = f"container {container} not found in pod {pod.name}_{pod.namespace}"
            raise errors.FailedPrecondition(where if attach else f'container not found ("{container}")')
        return status

    def _instance(self, pod: Pod, container: str, *, previous: bool) -> ContainerStatus:
        observed = pod_state.observe(self._engine, pod)
        before = pod_state.previous_instances(self._engine, pod, observed).get(container)
        current = observed.containers.get(container)
        if previous:
            ended = self._last_ended(pod, container) or before
            if ended is None:
                raise errors.BadRequest(f'previous terminated container "{container}" in pod "{pod.name}" not found')
            return ended
        shown = current or before
        if shown is None:
            raise errors.BadRequest(self._waiting_words(pod, container))
        return shown

    def _last_ended(self, pod: Pod, container: str) -> ContainerStatus | None:
        """The instance that the status tells of as ``lastState``: of a container that waits for its back-off it is the newest one."""
        statuses = pod.raw.get("status") or {}
        lists = ("containerStatuses", "initContainerStatuses")
        entry: JSON = next((one for key in lists for one in statuses.get(key) or () if one["name"] == container), {})
        told = ((entry.get("lastState") or {}).get("terminated") or {}).get("containerID", "")
        return next((one for one in pod_state.known_instances(self._engine, pod) if told == ID_PREFIX + one.id), None)

    def _waiting_words(self, pod: Pod, container: str) -> str:
        """As a kubelet's validateContainerLogStatus has them."""
        statuses = pod.raw.get("status") or {}
        keys = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        entry: JSON | None = next((one for key in keys for one in statuses.get(key) or () if one["name"] == container), None)
        if entry is None and pod.phase in ("Succeeded", "Failed"):
            return f'container "{container}" in pod "{pod.name}" is not available'
        reason = ((entry or {"state": {}})["state"].get("waiting") or {}).get("reason", "ContainerCreating")
        return f'container "{container}" in pod "{pod.name}" is waiting to start: {_IN_WORDS.get(reason, reason)}'

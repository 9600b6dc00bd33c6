"""GetContainerEvents: what happens to sandboxes and containers, to every client that listens, with their status of that moment.

Creations, starts and removals are told by the RPCs that do them; ends come from the engine through ``run``. A client that does not read
is let go: it lists everything anew when it comes back. Source: KEP-3386 (evented PLEG), cri-api api.proto ContainerEventResponse.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.cri import describe
from podspace.cri.owned import OWNER, Owned
from podspace.image.service import Images
from podspace.runtime import model

QUEUE_LENGTH = 1000


class Events:
    """One per server."""

    def __init__(self, owned: Owned, images: Images) -> None:
        self._owned = owned
        self._images = images
        self._listeners: dict[asyncio.Queue[pb.ContainerEventResponse], asyncio.Event] = {}

    async def run(self) -> None:
        """Pass on what the engine tells, until cancelled."""
        async for event in self._owned.engine.events(owner=OWNER):
            self.tell(pb.CONTAINER_STOPPED_EVENT, event.container_id or event.sandbox_id, event.sandbox_id)

    def tell(self, kind: pb.ContainerEventType.ValueType, identifier: str, sandbox_id: str) -> None:
        """Queue an event for every listener."""
        if not self._listeners:
            return
        event = self._event(kind, identifier, sandbox_id)
        for queue, lost in self._listeners.items():
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                lost.set()

    def _event(self, kind: pb.ContainerEventType.ValueType, identifier: str, sandbox_id: str) -> pb.ContainerEventResponse:
        event = pb.ContainerEventResponse(container_id=identifier, container_event_type=kind, created_at=time.time_ns())
        sandbox = self._owned.find_sandbox(sandbox_id)
        if sandbox is not None:
            event.pod_sandbox_status.CopyFrom(describe.sandbox_status(sandbox))
            event.containers_statuses.extend(self._statuses(sandbox))
        return event

    def _statuses(self, sandbox: model.SandboxStatus) -> list[pb.ContainerStatus]:
        containers = self._owned.engine.containers(sandbox.id)
        return [describe.container_status(item, self._images.find(item.config.image)) for item in containers]

    async def get_container_events(self, request: pb.GetEventsRequest) -> AsyncIterator[pb.ContainerEventResponse]:
        """From now on. Raises: Unavailable when the client does not keep up."""
        queue: asyncio.Queue[pb.ContainerEventResponse] = asyncio.Queue(QUEUE_LENGTH)
        lost = asyncio.Event()
        self._listeners[queue] = lost
        try:
            while not lost.is_set():
                yield await queue.get()
            raise errors.Unavailable(f"{QUEUE_LENGTH} events were not read; list everything and listen again")
        finally:
            del self._listeners[queue]

"""The RPCs about sandboxes. Stop and Remove of what is gone succeed; a second Run of a name and attempt is refused, as containerd does.

Called by ``server``, which gives every method its RPC's name. Source: cri-api api.proto; kubelet kuberuntime_sandbox.go.
"""

from __future__ import annotations

import json
import time

from cri_api.v1 import api_pb2 as pb

from podspace.cri import describe, translate
from podspace.cri.events import Events
from podspace.cri.owned import Owned, starting_with
from podspace.image.service import Images
from podspace.runtime import model


class Sandboxes:
    """RunPodSandbox to ListPodSandbox."""

    def __init__(self, owned: Owned, images: Images, events: Events) -> None:
        self._owned = owned
        self._images = images
        self._events = events

    async def run_pod_sandbox(self, request: pb.RunPodSandboxRequest) -> pb.RunPodSandboxResponse:
        """Cancelled, as by a kubelet's deadline: nothing of it is left, and it may ask for the same again."""
        config = translate.sandbox(request.config, request.runtime_handler)
        identifier = await self._owned.engine.run_sandbox(config)
        self._events.tell(pb.CONTAINER_CREATED_EVENT, identifier, identifier)
        self._events.tell(pb.CONTAINER_STARTED_EVENT, identifier, identifier)
        return pb.RunPodSandboxResponse(pod_sandbox_id=identifier)

    async def stop_pod_sandbox(self, request: pb.StopPodSandboxRequest) -> pb.StopPodSandboxResponse:
        sandbox = self._owned.find_sandbox(request.pod_sandbox_id)
        if sandbox is not None:
            await self._owned.engine.stop_sandbox(sandbox.id)
        return pb.StopPodSandboxResponse()

    async def remove_pod_sandbox(self, request: pb.RemovePodSandboxRequest) -> pb.RemovePodSandboxResponse:
        sandbox = self._owned.find_sandbox(request.pod_sandbox_id)
        if sandbox is not None:
            gone = [container.id for container in self._owned.engine.containers(sandbox.id)]
            await self._owned.engine.remove_sandbox(sandbox.id)
            for identifier in (*gone, sandbox.id):
                self._events.tell(pb.CONTAINER_DELETED_EVENT, identifier, sandbox.id)
        return pb.RemovePodSandboxResponse()

    async def pod_sandbox_status(self, request: pb.PodSandboxStatusRequest) -> pb.PodSandboxStatusResponse:
        """With its containers' statuses and the time, which a kubelet that goes by events relies on (KEP-3386)."""
        sandbox = self._owned.sandbox(request.pod_sandbox_id)
        containers = self._owned.engine.containers(sandbox.id)
        return pb.PodSandboxStatusResponse(
            status=describe.sandbox_status(sandbox),
            info={"info": json.dumps({"pid": sandbox.pid, "cgroup": sandbox.cgroup})} if request.verbose else {},
            containers_statuses=[describe.container_status(item, self._images.find(item.config.image)) for item in containers],
            timestamp=time.time_ns(),
        )

    async def list_pod_sandbox(self, request: pb.ListPodSandboxRequest) -> pb.ListPodSandboxResponse:
        found = [status for status in self._owned.sandboxes() if _fits(status, request.filter)]
        if request.filter.id:
            found = starting_with(request.filter.id, found)
        return pb.ListPodSandboxResponse(items=[describe.sandbox(status) for status in found])

    async def update_pod_sandbox_resources(self, request: pb.UpdatePodSandboxResourcesRequest) -> pb.UpdatePodSandboxResourcesResponse:
        """The kubelet sets the limits of a Pod's cgroup itself and tells this only for the runtime's information. Raises: NotFound."""
        self._owned.sandbox(request.pod_sandbox_id)
        return pb.UpdatePodSandboxResourcesResponse()


def _fits(status: model.SandboxStatus, wanted: pb.PodSandboxFilter) -> bool:
    if wanted.HasField("state") and describe.sandbox_state(status) != wanted.state.state:
        return False
    return describe.selected(wanted.label_selector, status.config.labels)

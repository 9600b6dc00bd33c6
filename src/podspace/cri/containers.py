"""The RPCs about containers. Stop and Remove of what is gone succeed.

Called by ``server``, which gives every method its RPC's name. Source: cri-api api.proto; kubelet kuberuntime_container.go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.cri import describe, translate
from podspace.cri.events import Events
from podspace.cri.owned import Owned, starting_with
from podspace.image.model import Image
from podspace.image.service import Images
from podspace.runtime import model

_Name = tuple[str, str, int]


class Containers:
    """CreateContainer to ReopenContainerLog."""

    def __init__(self, owned: Owned, images: Images, events: Events) -> None:
        self._owned = owned
        self._images = images
        self._events = events
        self._creating: set[_Name] = set()

    async def create_container(self, request: pb.CreateContainerRequest) -> pb.CreateContainerResponse:
        """A name and attempt is created once in a sandbox. Raises: AlreadyExists, NotFound (image), BadRequest, Unsupported."""
        sandbox = self._owned.sandbox(request.pod_sandbox_id)
        image = self._image(request.config.image.image)
        if request.config.linux.security_context.privileged and not request.sandbox_config.linux.security_context.privileged:
            raise errors.BadRequest("no privileged container allowed in sandbox")
        config = self._with_images_mounted(translate.container(request.config, sandbox, image.id))
        if config.pid is model.NamespaceMode.TARGET:
            self._owned.container(config.pid_target or "")
        with self._reserved(sandbox, config):
            for mount in config.mounts:
                if not mount.image:
                    _make_missing(mount.source)
            identifier = await self._owned.engine.create_container(sandbox.id, config)
        self._events.tell(pb.CONTAINER_CREATED_EVENT, identifier, sandbox.id)
        return pb.CreateContainerResponse(container_id=identifier)

    def _with_images_mounted(self, config: model.ContainerConfig) -> model.ContainerConfig:
        """Which image a name means is settled now, whatever the name means later."""
        mounts = (dataclasses.replace(mount, image=self._image(mount.image).id) if mount.image else mount for mount in config.mounts)
        return dataclasses.replace(config, mounts=tuple(mounts))

    def _image(self, name: str) -> Image:
        if not name:
            raise errors.BadRequest("the image of the container is empty")
        image = self._images.find(name)
        if image is None:
            raise errors.NotFound(f'image "{name}" is not present; pull it first', resource="images", name=name)
        return image

    @contextlib.contextmanager
    def _reserved(self, sandbox: model.SandboxStatus, config: model.ContainerConfig) -> Iterator[None]:
        name: _Name = (sandbox.id, config.name, config.attempt)
        known = {(sandbox.id, item.config.name, item.config.attempt) for item in self._owned.engine.containers(sandbox.id)}
        if name in known | self._creating:
            raise errors.AlreadyExists(f'container "{config.name}" attempt {config.attempt} exists in sandbox {sandbox.id}')
        self._creating.add(name)
        try:
            yield
        finally:
            self._creating.discard(name)

    async def start_container(self, request: pb.StartContainerRequest) -> pb.StartContainerResponse:
        container = self._owned.container(request.container_id)
        await self._owned.engine.start_container(container.id)
        self._events.tell(pb.CONTAINER_STARTED_EVENT, container.id, container.sandbox_id)
        return pb.StartContainerResponse()

    async def stop_container(self, request: pb.StopContainerRequest) -> pb.StopContainerResponse:
        container = self._owned.find_container(request.container_id)
        if container is not None and container.state is model.ContainerState.RUNNING:
            await self._owned.engine.stop_container(container.id, max(0, request.timeout))
        return pb.StopContainerResponse()

    async def remove_container(self, request: pb.RemoveContainerRequest) -> pb.RemoveContainerResponse:
        container = self._owned.find_container(request.container_id)
        if container is not None:
            await self._owned.engine.remove_container(container.id)
            self._events.tell(pb.CONTAINER_DELETED_EVENT, container.id, container.sandbox_id)
        return pb.RemoveContainerResponse()

    async def list_containers(self, request: pb.ListContainersRequest) -> pb.ListContainersResponse:
        wanted = request.filter
        found = [status for status in self._owned.containers() if _fits(status, wanted)]
        if wanted.id:
            found = starting_with(wanted.id, found)
        return pb.ListContainersResponse(containers=[describe.container(item, self._images.find(item.config.image)) for item in found])

    async def container_status(self, request: pb.ContainerStatusRequest) -> pb.ContainerStatusResponse:
        status = self._owned.container(request.container_id)
        return pb.ContainerStatusResponse(
            status=describe.container_status(status, self._images.find(status.config.image)),
            info={"info": json.dumps(_details(status))} if request.verbose else {},
        )

    async def update_container_resources(self, request: pb.UpdateContainerResourcesRequest) -> pb.UpdateContainerResourcesResponse:
        container = self._owned.container(request.container_id)
        await self._owned.engine.update_resources(container.id, translate.resources(request.linux))
        return pb.UpdateContainerResourcesResponse()

    async def reopen_container_log(self, request: pb.ReopenContainerLogRequest) -> pb.ReopenContainerLogResponse:
        await self._owned.engine.reopen_log(self._owned.container(request.container_id).id)
        return pb.ReopenContainerLogResponse()

    async def exec_sync(self, request: pb.ExecSyncRequest) -> pb.ExecSyncResponse:
        """A command that fails is an exit code; one that takes too long is killed and DEADLINE_EXCEEDED."""
        container = self._owned.container(request.container_id)
        if not request.cmd:
            raise errors.BadRequest("cmd is empty")
        done = await self._owned.engine.exec_sync(container.id, list(request.cmd), max(0, request.timeout))
        return pb.ExecSyncResponse(stdout=done.stdout, stderr=done.stderr, exit_code=done.exit_code)

    async def checkpoint_container(self, request: pb.CheckpointContainerRequest) -> pb.CheckpointContainerResponse:
        """Raises: Unsupported, always."""
        self._owned.container(request.container_id)
        raise errors.Unsupported("containers cannot be checkpointed: that needs CRIU, which podspace does not drive")


def _fits(status: model.ContainerStatus, wanted: pb.ContainerFilter) -> bool:
    if wanted.HasField("state") and describe.container_state(status) != wanted.state.state:
        return False
    if wanted.pod_sandbox_id and not status.sandbox_id.startswith(wanted.pod_sandbox_id):
        return False
    return describe.selected(wanted.label_selector, status.config.labels)


def _make_missing(source: Path) -> None:
    """A host path that is not there becomes a folder, as with containerd: kubelets leave that to the runtime. Raises: BadRequest."""
    try:
        if not source.exists():
            source.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.BadRequest(f"mount of {source}: {error.strerror}") from error


def _details(status: model.ContainerStatus) -> dict[str, object]:
    return {"pid": status.pid, "sandboxID": status.sandbox_id, "cgroup": status.cgroup, "rootfs": str(status.rootfs)}

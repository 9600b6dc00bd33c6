"""The engine: sandboxes and containers on one machine, the verbs of the CRI as plain Python.

Two callers, ``node`` and ``cri``. One verb per file beside this one; here they are gathered and what the kernel tells is handled.
Knows no Pod and no protocol. ``recover`` first, then ``run`` as a service of its own beside the callers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from podspace import settings
from podspace.runtime import (
    cgroup_groups,
    container_attach,
    container_create,
    container_exec,
    container_exec_sync,
    container_log,
    container_start,
    container_stop,
    container_update,
    details,
    disk_usage,
    image_mounts,
    model,
    port_forward,
    ports,
    recover,
    sandbox_run,
    sandbox_stop,
    usage,
    userns,
    world,
)
from podspace.wire import streams

log = logging.getLogger(__name__)


class Engine:
    """One per server. Every verb may be awaited concurrently with others on other objects, creates also within one sandbox."""

    def __init__(self, config: settings.Settings, images: ports.Images, network: ports.Network) -> None:
        """Raises: Unsupported when no OCI runtime is there."""
        self._here = world.World(config, images, network)

    @property
    def runtime_name(self) -> str:
        """The OCI runtime in use: ``crun``, ``runc``."""
        return self._here.runtimes.default.program.name

    @property
    def runtime_handlers(self) -> Mapping[str, Path]:
        """Programs by the name a RuntimeClass gives as its handler; "" is the default."""
        return self._here.runtimes.handlers

    @property
    def counts_huge_pages(self) -> bool:
        """Whether the kernel holds a container to its limit of huge pages."""
        return self._here.machine.hugetlb

    async def missing_for_user_namespaces(self) -> str:
        """Why no sandbox can have one of its own, "" if it can."""
        return await userns.missing(self._here)

    @property
    def log_root(self) -> Path:
        """The folder of all Pods' logs."""
        return self._here.settings.paths.log

    async def recover(self) -> None:
        """Adopt what a former server left running and undo what it left half done. Once, before anything else."""
        await recover.recover(self._here)

    async def run(self, ready: asyncio.Event) -> None:
        """Notice and settle the ends of processes, until cancelled. No container is seen to end while this does not run."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._here.network.run())
            ready.set()
            while True:
                notice = await self._here.notices.get()
                group.create_task(self._settle(notice))

    async def _settle(self, notice: world.Notice) -> None:
        try:
            await notice()
        except Exception:  # a supervisor loop: one container's trouble must not end the engine
            log.exception("settling the end of a process failed")

    async def events(self, *, owner: str = "node") -> AsyncIterator[model.Event]:
        """What happened in the sandboxes of one front door, its one subscriber; also what a former server did not get to tell."""
        events = self._here.events(owner)
        while True:
            yield await events.get()

    # sandboxes

    async def run_sandbox(self, config: model.SandboxConfig) -> model.SandboxId:
        """See ``sandbox_run.run``."""
        return (await sandbox_run.run(self._here, config)).id

    async def stop_sandbox(self, identifier: str) -> None:
        """See ``sandbox_stop.stop``. Unknown: fine."""
        sandbox = self._here.sandboxes.get(model.SandboxId(identifier))
        if sandbox is not None:
            await sandbox_stop.stop(self._here, sandbox)

    async def remove_sandbox(self, identifier: str) -> None:
        """See ``sandbox_stop.remove``. Unknown: fine."""
        sandbox = self._here.sandboxes.get(model.SandboxId(identifier))
        if sandbox is not None:
            await sandbox_stop.remove(self._here, sandbox)

    def sandboxes(self, *, owner: str = "", uid: str = "") -> list[model.SandboxStatus]:
        """All, or those of one front door, or of one Pod; oldest first."""
        wanted = [
            sandbox for sandbox in self._here.sandboxes.values() if owner in ("", sandbox.config.owner) and uid in ("", sandbox.config.uid)
        ]
        return [sandbox.status() for sandbox in sorted(wanted, key=lambda sandbox: sandbox.intent.created_nanos)]

    def owner(self, sandbox_id: str) -> str:
        """The front door whose sandbox it is; "" if there is no such sandbox."""
        sandbox = self._here.sandboxes.get(model.SandboxId(sandbox_id))
        return sandbox.config.owner if sandbox is not None else ""

    def sandbox(self, identifier: str) -> model.SandboxStatus:
        """Raises: NotFound."""
        return self._here.sandbox(identifier).status()

    async def update_sandbox(self, identifier: str, resources: model.Resources) -> None:
        """See ``cgroup_groups.update``. Raises: NotFound, OSError."""
        cgroup_groups.update(self._here, self._here.sandbox(identifier), resources)

    def share_group(self, group: str, cpu_shares: int) -> None:
        """See ``cgroup_groups.share``."""
        cgroup_groups.share(self._here, group, cpu_shares)

    async def port_forward(self, identifier: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See ``port_forward.connect``."""
        return await port_forward.connect(self._here.sandbox(identifier), port)

    # network

    async def network_problem(self, owner: str = "node") -> str:
        """Why a sandbox of this front door cannot have a network of its own just now, "" if it can."""
        return await self._here.network.problem(owner)

    def on_network_change(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when ``network_problem`` may say something else."""
        self._here.network.on_change(listener)

    def use_pod_cidr(self, text: str) -> None:
        """See ``ports.Network.use_pod_cidr``."""
        self._here.network.use_pod_cidr(text)

    # containers

    async def create_container(self, sandbox_id: str, config: model.ContainerConfig) -> model.ContainerId:
        """See ``container_create.create``."""
        return (await container_create.create(self._here, self._here.sandbox(sandbox_id), config)).id

    async def start_container(self, identifier: str) -> None:
        """See ``container_start.start``."""
        await container_start.start(self._here, self._here.container(identifier))

    async def stop_container(self, identifier: str, grace_seconds: float) -> None:
        """See ``container_stop.stop``. Unknown: fine."""
        container = self._here.containers.get(model.ContainerId(identifier))
        if container is not None:
            await container_stop.stop(self._here, container, grace_seconds=grace_seconds)

    async def remove_container(self, identifier: str) -> None:
        """See ``container_stop.remove``. Unknown: fine."""
        container = self._here.containers.get(model.ContainerId(identifier))
        if container is not None:
            await container_stop.remove(self._here, container)

    def containers(self, sandbox_id: str | None = None, *, owner: str = "") -> list[model.ContainerStatus]:
        """All, or those of one sandbox, or of one front door; oldest first."""
        wanted = [
            item
            for item in self._here.containers.values()
            if sandbox_id in (None, item.intent.sandbox_id) and owner in ("", self.owner(item.intent.sandbox_id))
        ]
        return [container.status() for container in sorted(wanted, key=lambda item: item.intent.created_nanos)]

    def container(self, identifier: str) -> model.ContainerStatus:
        """Raises: NotFound."""
        return self._here.container(identifier).status()

    def images_in_use(self) -> frozenset[str]:
        """Ids of the images that containers stand on or have mounted."""
        return image_mounts.used(container.config for container in self._here.containers.values())

    def upper(self, identifier: str) -> Path:
        """The folder that holds what a container wrote over its image. Raises: NotFound."""
        return self._here.layout.snapshot(self._here.container(identifier).id) / "upper"

    def seccomp(self, identifier: str) -> dict[str, Any]:
        """``linux.seccomp`` of the OCI spec the container was made of, {} for none. Reads a file.  Raises: NotFound."""
        folder = self._here.layout.container(self._here.container(identifier).id)
        found: dict[str, Any] = json.loads(folder.oci_config.read_text())["linux"].get("seccomp") or {}
        return found

    async def wait_container(self, identifier: str) -> None:
        """Return once the container's end is written down. Raises: NotFound."""
        await self._here.container(identifier).exited.wait()

    async def exec(self, identifier: str, argv: Sequence[str], client: streams.Streams) -> int:
        """See ``container_exec.run``."""
        return await container_exec.run(self._here, self._here.container(identifier), argv, client)

    async def exec_sync(
        self, identifier: str, argv: Sequence[str], timeout_seconds: float = 0, *, limit_bytes: int = container_exec_sync.LIMIT_BYTES
    ) -> model.ExecResult:
        """See ``container_exec_sync.run``."""
        container = self._here.container(identifier)
        return await container_exec_sync.run(self._here, container, argv, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes)

    async def attach(self, identifier: str, client: streams.Streams) -> None:
        """See ``container_attach.attach``."""
        await container_attach.attach(self._here, self._here.container(identifier), client)

    async def update_resources(self, identifier: str, resources: model.Resources) -> None:
        """See ``container_update.update``."""
        await container_update.update(self._here, self._here.container(identifier), resources)

    async def reopen_log(self, identifier: str) -> None:
        """See ``container_log.reopen``."""
        await container_log.reopen(self._here, self._here.container(identifier))

    # figures

    async def container_usage(self, identifier: str) -> usage.ContainerUsage:
        """See ``usage.of_container``."""
        return await usage.of_container(self._here, self._here.container(identifier))

    async def container_details(self, identifier: str) -> details.Details:
        """See ``details.of_container``."""
        container = self._here.container(identifier)
        layer = await usage.of_layer(self._here, container)
        return await asyncio.to_thread(details.of_container, self._here, container, layer)

    async def disk_used(self, identifier: str) -> disk_usage.DiskUsage:
        """What a container has written to its root by now. Raises: NotFound."""
        return await usage.of_layer_now(self._here, self._here.container(identifier))

    def memory_used(self, identifier: str) -> int:
        """Bytes a container has in use and the kernel could not take back at once. Raises: NotFound."""
        return usage.memory_of(self._here, self._here.container(identifier))

    def sandbox_usage(self, identifier: str) -> usage.SandboxUsage:
        """See ``usage.of_sandbox``."""
        return usage.of_sandbox(self._here, self._here.sandbox(identifier))

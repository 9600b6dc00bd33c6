"""What all verbs of the engine share: where things are, what is known to live, and whom to tell.

The verbs (one per file) take a ``World``; the engine makes it. *Notices* are what the kernel tells us (a process ended); ``Engine.run``
handles them. *Events* are what we tell the front doors, each about its own sandboxes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from podspace import errors, settings
from podspace.linux import cgroups, pidfd
from podspace.oci import runtimes
from podspace.runtime import layout, machine, model, oci_choice, ports, records

Notice = Callable[[], Coroutine[Any, Any, None]]


class World:
    """State of one engine. Only the event loop's thread touches it."""

    def __init__(self, config: settings.Settings, images: ports.Images, network: ports.Network) -> None:
        self.settings = config
        self.images = images
        self.network = network
        self.layout = layout.Layout(config.paths)
        self.runtimes = oci_choice.Runtimes(config.oci_runtime, config.runtime_handlers, self.layout.crun)
        self.cgroups = cgroups.detect()
        self.machine = machine.look(self.cgroups.version, is_crun=self.runtimes.default.is_crun)
        self.sandboxes: dict[model.SandboxId, records.Sandbox] = {}
        self.containers: dict[model.ContainerId, records.Container] = {}
        self.userns_tried = False  # whether this machine can make user namespaces
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()
        self._expecting: asyncio.Future[None] | None = None
        self._events: dict[str, asyncio.Queue[model.Event]] = {}

    def sandbox(self, identifier: str) -> records.Sandbox:
        """Raises: NotFound."""
        found = self.sandboxes.get(model.SandboxId(identifier))
        if found is None:
            raise errors.NotFound(f"sandbox {identifier} not found", resource="sandboxes", name=identifier)
        return found

    def container(self, identifier: str) -> records.Container:
        """Raises: NotFound."""
        found = self.containers.get(model.ContainerId(identifier))
        if found is None:
            raise errors.NotFound(f"container {identifier} not found", resource="containers", name=identifier)
        return found

    def runtime_of(self, one: records.Sandbox | records.Container) -> runtimes.OciRuntime:
        """The OCI runtime it was, or is to be, made by."""
        return self.runtimes.of(one.intent.runtime)

    def machine_of(self, one: records.Sandbox | records.Container) -> machine.Machine:
        """What this machine can do with that."""
        return machine.under(self.machine, is_crun=self.runtime_of(one).is_crun)

    def containers_of(self, sandbox_id: model.SandboxId) -> list[records.Container]:
        """Oldest first."""
        return [container for container in self.containers.values() if container.intent.sandbox_id == sandbox_id]

    def expect_moves(self) -> None:
        """Called where the OCI runtime is about to put a process into a cgroup; see ``Cgroups.expect_moves``."""
        if self._expecting is None or self._expecting.done():
            self._expecting = asyncio.get_running_loop().run_in_executor(None, self.cgroups.expect_moves)

    def when_gone(self, handle: pidfd.ProcessHandle | None, notice: Notice) -> None:
        """Have ``Engine.run`` handle ``notice`` once the process is gone; at once if it is gone already (None)."""
        if handle is None:
            self.notices.put_nowait(notice)
        else:
            handle.watch(lambda: self.notices.put_nowait(notice))

    def tell(self, kind: model.EventKind, sandbox_id: model.SandboxId, container_id: model.ContainerId | None = None) -> None:
        """Tell the front door whose sandbox it is."""
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is not None:
            event = model.Event(kind=kind, sandbox_id=sandbox_id, container_id=container_id)
            self.events(sandbox.config.owner).put_nowait(event)

    def events(self, owner: str) -> asyncio.Queue[model.Event]:
        """What one front door has not been told yet."""
        return self._events.setdefault(owner, asyncio.Queue())

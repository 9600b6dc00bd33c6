"""What the engine writes down, and the live objects around it.

*Intent* is written before anything is done, *facts* after each step; together they let ``runtime.recover`` adopt or undo. A ``Sandbox`` or
``Container`` is both, plus what only a running server has (pidfds, events). Only the verbs of ``runtime`` touch these.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podspace.linux import pidfd, procfs
from podspace.runtime import disk_usage, model

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OciRuntime:
    """What makes a sandbox and its containers. ``systemd_cgroups``: it has systemd make their cgroups.

    ``program`` "": the server's default, as in records of former versions.
    """

    program: str = ""
    systemd_cgroups: bool = False

    def leaf(self, parent: str, identifier: str) -> str:
        """The cgroup of a container, or of /pause, below the Pod's. Source: the scope's name is what runc and crun make of ours."""
        return f"{parent}/podspace-{identifier}.scope" if self.systemd_cgroups else f"{parent}/{identifier}"

    def oci_path(self, parent: str, identifier: str) -> str:
        """The same as ``linux.cgroupsPath``."""
        if self.systemd_cgroups:
            return f"{os.path.basename(parent)}:podspace:{identifier}"
        return self.leaf(parent, identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxIntent:
    """Written before a sandbox's first resource is taken."""

    version: int = VERSION
    id: model.SandboxId
    config: model.SandboxConfig
    created_nanos: int
    cgroup: str  # the Pod's; /pause is below it
    runtime: OciRuntime = OciRuntime()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFacts:
    """``ready`` once run_sandbox succeeded; ``exited`` once /pause was seen dead."""

    pid: int = 0
    start_time: int = 0
    ips: tuple[str, ...] = ()
    ready: bool = False
    exited: bool = False
    resources: model.Resources | None = None  # limits changed since


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerIntent:
    """Written before a container's first resource is taken."""

    version: int = VERSION
    id: model.ContainerId
    sandbox_id: model.SandboxId
    config: model.ContainerConfig
    created_nanos: int
    cgroup: str
    runtime: OciRuntime = OciRuntime()
    log_path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """``failure``: the OCI runtime's words when it could not make or start the container."""

    pid: int = 0
    start_time: int = 0
    conmon_pid: int = 0
    conmon_start_time: int = 0
    user: model.ResolvedUser | None = None
    stop_signal: int = 15
    started_nanos: int = 0
    finished_nanos: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    failure: str = ""
    resources: model.Resources | None = None  # limits changed since


@dataclass(slots=True, kw_only=True, eq=False)
class Sandbox:
    """A sandbox this server knows. ``exited`` is set once /pause is gone and that has been written down."""

    intent: SandboxIntent
    facts: SandboxFacts = SandboxFacts()
    handle: pidfd.ProcessHandle | None = None
    disguised: bool = False  # its argument is hidden from ps
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    releasing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def id(self) -> model.SandboxId:
        return self.intent.id

    @property
    def config(self) -> model.SandboxConfig:
        """With the limits as they are now."""
        changed = self.facts.resources
        return self.intent.config if changed is None else dataclasses.replace(self.intent.config, resources=changed)

    @property
    def pause_cgroup(self) -> str:
        return self.intent.runtime.leaf(self.intent.cgroup, self.id)

    @property
    def ready(self) -> bool:
        """Whether containers can live in it.

        A PID 1 that was killed stays, exiting, until the kernel has killed all others of its pidns: their ends are seen first, and
        must not be taken for the containers' own.   Source: pid_namespaces(7).
        """
        if not self.facts.ready or self.facts.exited:
            return False
        pause = procfs.stat(self.facts.pid)
        return pause is not None and not pause.exiting

    def learn(self, **facts: Any) -> None:
        """Replace some of the facts (in memory; ``layout.save`` writes them)."""
        self.facts = dataclasses.replace(self.facts, **facts)

    def status(self) -> model.SandboxStatus:
        ready = self.ready  # asks the kernel: once is enough for whoever lists hundreds every second
        return model.SandboxStatus(
            id=self.id,
            config=self.config,
            state=model.SandboxState.READY if ready else model.SandboxState.NOT_READY,
            created_nanos=self.intent.created_nanos,
            pid=self.facts.pid if ready else 0,
            ips=self.facts.ips,
            cgroup=self.intent.cgroup,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Container:
    """A container this server knows. ``exited`` is set once everything of it is dead and that has been written down."""

    intent: ContainerIntent
    facts: ContainerFacts = ContainerFacts()
    rootfs: Path
    handle: pidfd.ProcessHandle | None = None  # the container's first process
    conmon: pidfd.ProcessHandle | None = None
    starting_nanos: int = 0  # when start was called
    process: dict[str, Any] | None = None  # the OCI process object, template of exec's
    disk: disk_usage.DiskUsage | None = None  # what it was when last looked at
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    releasing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def id(self) -> model.ContainerId:
        return self.intent.id

    @property
    def config(self) -> model.ContainerConfig:
        """With the limits as they are now."""
        changed = self.facts.resources
        return self.intent.config if changed is None else dataclasses.replace(self.intent.config, resources=changed)

    @property
    def state(self) -> model.ContainerState:
        if self.facts.finished_nanos:
            return model.ContainerState.EXITED
        return model.ContainerState.RUNNING if self.facts.started_nanos else model.ContainerState.CREATED

    def learn(self, **facts: Any) -> None:
        """Replace some of the facts (in memory; ``layout.save`` writes them)."""
        self.facts = dataclasses.replace(self.facts, **facts)

    def status(self) -> model.ContainerStatus:
        facts, state = self.facts, self.state
        return model.ContainerStatus(
            id=self.id,
            sandbox_id=self.intent.sandbox_id,
            config=self.config,
            state=state,
            created_nanos=self.intent.created_nanos,
            started_nanos=facts.started_nanos,
            finished_nanos=facts.finished_nanos,
            exit_code=facts.exit_code,
            signal=facts.exit_code - 128 if facts.exit_code > 128 else 0,
            reason=facts.reason,
            message=facts.message,
            pid=facts.pid if state is model.ContainerState.RUNNING else 0,
            log_path=self.intent.log_path or Path(),
            cgroup=self.intent.cgroup,
            rootfs=self.rootfs,
            user=facts.user,
            stop_signal=facts.stop_signal,
        )

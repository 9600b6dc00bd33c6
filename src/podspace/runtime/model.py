"""The nouns of the engine: what a caller asks for, and what it can see.

The verbs that take these are on ``runtime.engine.Engine`` and are the CRI's. Two callers: ``node`` (from Pods) and
``cri`` (from protobuf). Nothing here knows a Pod, an API object or a gRPC message. Intent is immutable; what happened
(pids, timestamps, exit codes) is in the ``*Status`` types.
Source: cri-api runtime/v1 api.proto; OCI runtime-spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

from podspace.linux.idmap import IdMap
from podspace.network.attachment import HostPort

SandboxId = NewType("SandboxId", str)
ContainerId = NewType("ContainerId", str)


class NamespaceMode(StrEnum):
    """Whose namespace a container is in (api.proto NamespaceMode)."""

    POD = "POD"  # the sandbox's: all containers of the sandbox share it
    CONTAINER = "CONTAINER"  # its own
    NODE = "NODE"  # the host's
    TARGET = "TARGET"  # that of another container, named by target_id


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsConfig:
    """Lines of /etc/resolv.conf. None of them set: the host's file is used."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeccompProfile:
    """``kind``: RuntimeDefault, Unconfined or Localhost (then ``localhost_path`` is a host path)."""

    kind: str = "RuntimeDefault"
    localhost_path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSecurity:
    """Whom a sandbox's /pause runs as, in the sandbox's user namespace, and its seccomp profile. It has no capability whoever it is."""

    uid: int = 0
    gid: int = 0
    supplemental_groups: tuple[int, ...] = ()
    seccomp: SeccompProfile = SeccompProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What ``Engine.run_sandbox`` is asked for. (namespace, name, uid, attempt) is unique among live sandboxes of one owner."""

    name: str
    uid: str
    namespace: str
    attempt: int = 0
    owner: str = "node"  # "node" or "cri": neither front door sees the other's sandboxes
    hostname: str = ""
    log_directory: Path
    dns: DnsConfig = DnsConfig()
    pid: NamespaceMode = NamespaceMode.CONTAINER
    network: NamespaceMode = NamespaceMode.POD
    ipc: NamespaceMode = NamespaceMode.POD
    user_namespace: IdMap | None = None  # the sandbox's own, which owns all its other namespaces; None = the host's
    pause: PauseSecurity = PauseSecurity()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    host_ports: tuple[HostPort, ...] = ()  # ports of the host that lead here; without a network of its own they mean nothing
    runtime_handler: str = ""  # one of Engine.runtime_handlers
    cgroup_parent: str = ""  # whoever names one also removes it; "" = <settings.cgroup_root>/pod<uid>
    cgroup_group: str = ""  # a group of sandboxes whose cgroup is between the server's and the sandbox's: one of cgroup_groups.NAMES
    resources: Resources | None = None  # limits of the whole sandbox
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bind mount into a container. ``propagation``: private, rslave or rshared (mount_namespaces(7)).

    Of a host path (``source``), or of what an image holds (``image``: the id of one that is present): that is read-only whatever is asked
    for, and ``image_sub_path`` names a folder in it. ``id_map``: whose files are shown as whose (user_namespaces(7)); None = as they are.
    """

    source: Path = Path()
    destination: str
    image: str = ""
    image_reference: str = ""  # as the user spelt it, for status
    image_sub_path: str = ""
    readonly: bool = False
    propagation: str = "private"
    recursive_readonly: bool = False
    id_map: IdMap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node of the host given to a container. ``permissions``: some of "rwm"."""

    source: Path
    destination: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits, in the kernel's units; 0 = not set. Source: api.proto LinuxContainerResources."""

    cpu_period_micros: int = 0
    cpu_quota_micros: int = 0
    cpu_shares: int = 0
    memory_limit_bytes: int = 0
    memory_swap_limit_bytes: int = 0  # memory and swap together; 0 = as memory_limit_bytes: no swap
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    hugepage_limit_bytes: Mapping[str, int] = field(default_factory=dict)  # "2MB" -> bytes
    pids_limit: int = 0
    unified: Mapping[str, str] = field(default_factory=dict)  # cgroup v2 files


@dataclass(frozen=True, slots=True, kw_only=True)
class AppArmorProfile:
    """``kind``: Unset (the engine's choice), RuntimeDefault, Unconfined or Localhost (then ``name`` is that of a loaded profile)."""

    kind: str = "Unset"
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who a container runs as and what it may do. Source: api.proto LinuxContainerSecurityContext.

    ``user``: "" = the image's, else a name or number, as in Dockerfile USER ("1000", "www-data", "1000:33").
    ``uid``/``gid`` win over it.
    """

    user: str = ""
    uid: int | None = None
    gid: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = "Merge"  # or "Strict"
    privileged: bool = False
    capabilities_add: tuple[str, ...] = ()  # without "CAP_"; "ALL" is everything
    capabilities_drop: tuple[str, ...] = ()
    capabilities_ambient: tuple[str, ...] = ()  # added, and kept by another user than root across execve(2)
    no_new_privs: bool = False
    readonly_rootfs: bool = False
    seccomp: SeccompProfile = SeccompProfile()
    apparmor: AppArmorProfile = AppArmorProfile()
    masked_paths: tuple[str, ...] | None = None  # None = containerd's default list
    readonly_paths: tuple[str, ...] | None = None
    run_as_non_root: bool = False  # the engine refuses to start as uid 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """What ``Engine.create_container`` is asked for. ``image`` is the id of an image that is present (``sha256:...``)."""

    name: str
    attempt: int = 0
    image: str
    image_reference: str = ""  # as the user spelt it, for status
    command: tuple[str, ...] = ()  # replaces the image's ENTRYPOINT (and its CMD)
    args: tuple[str, ...] = ()  # replaces the image's CMD
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    cdi_devices: tuple[str, ...] = ()  # "vendor.com/class=name", as files in /etc/cdi and /var/run/cdi describe them
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    log_path: str = ""  # relative to the sandbox's log_directory
    pid: NamespaceMode = NamespaceMode.CONTAINER
    pid_target: ContainerId | None = None
    security: Security = Security()
    resources: Resources = Resources()
    stop_signal: str = ""  # "" = the image's, else SIGTERM
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class SandboxState(StrEnum):
    READY = "READY"
    NOT_READY = "NOT_READY"


class ContainerState(StrEnum):
    """Derived from facts, never stored: created_nanos, started_nanos, finished_nanos."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    EXITED = "EXITED"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStatus:
    """A snapshot. ``pid`` is the host's pid of /pause, 0 when it is gone. Times are Unix nanoseconds."""

    id: SandboxId
    config: SandboxConfig
    state: SandboxState
    created_nanos: int
    pid: int
    ips: tuple[str, ...]
    cgroup: str  # relative to each hierarchy's root, "/podspace/pod<uid>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """A snapshot. ``exit_code`` is 128+n for signal n (then ``signal`` is n).

    ``reason`` is a kubelet's word: Completed, Error, OOMKilled, StartError, ContainerStatusUnknown.
    ``message`` holds the OCI runtime's words when the container never ran.
    """

    id: ContainerId
    sandbox_id: SandboxId
    config: ContainerConfig
    state: ContainerState
    created_nanos: int
    started_nanos: int
    finished_nanos: int
    exit_code: int
    signal: int
    reason: str
    message: str
    pid: int  # host pid of the main process, 0 unless running
    log_path: Path
    cgroup: str
    rootfs: Path
    user: ResolvedUser | None
    stop_signal: int = 0  # the container's or its image's


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedUser:
    """Whom the container's first process runs as, after the image's passwd and group were read."""

    uid: int
    gid: int
    supplemental_groups: tuple[int, ...]


class EventKind(StrEnum):
    CONTAINER_EXITED = "CONTAINER_EXITED"  # everything of it is dead and its exit code is known
    SANDBOX_EXITED = "SANDBOX_EXITED"  # /pause is gone, expected or not


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened without being asked for, or the end of what was. Read with ``Engine.events()``."""

    kind: EventKind
    sandbox_id: SandboxId
    container_id: ContainerId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """Outcome of ``Engine.exec_sync``."""

    exit_code: int
    stdout: bytes
    stderr: bytes

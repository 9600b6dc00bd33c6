"""The OCI spec of a container. Pure but for the looks of ``spec_devices`` at devices and of ``spec_seccomp`` at a local profile.

The namespace table of the design is ``_namespaces``. Called by ``container_create``.
Source: OCI runtime-spec config-linux.md; containerd's defaults for what Kubernetes leaves open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, assert_never

from podspace.oci import defaults, users
from podspace.runtime import layout, machine, model, ports, spec_devices, spec_process, spec_sandbox, spec_seccomp


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the container is put: facts of its sandbox, resolved before."""

    sandbox: model.SandboxConfig
    folder: layout.Folder  # the sandbox's
    pause_pid: int
    target_pid: int  # main process of the container whose pidns is joined, 0 if none
    hostname: str
    rootfs: Path
    cgroup: str


def build(config: model.ContainerConfig, image: ports.ImageConfig, here: machine.Machine, place: Place, user: users.User) -> dict[str, Any]:
    """Return config.json. Raises: FailedPrecondition when no command or seccomp profile is there."""
    security = config.security
    devices, rules = spec_devices.nodes(config)
    profile = model.SeccompProfile(kind="Unconfined") if security.privileged else security.seccomp
    seccomp, annotations = spec_seccomp.profile(profile, spec_process.capability_names(config, here), here)
    return {
        "ociVersion": defaults.VERSION,
        "process": spec_process.process(config, image, here, user=user, hostname=place.hostname),
        "root": {"path": str(place.rootfs), "readonly": security.readonly_rootfs},
        "mounts": _mounts(config, place),
        "annotations": {"org.podspace.sandbox": place.sandbox.name, "org.podspace.container": config.name} | annotations,
        "linux": {
            "namespaces": _namespaces(config, place, here),
            "cgroupsPath": place.cgroup,
            "resources": {"devices": rules, **resources(config.resources, here)},
            "devices": devices,
            "maskedPaths": _paths(security, security.masked_paths, defaults.MASKED_PATHS + here.masked_paths),
            "readonlyPaths": _paths(security, security.readonly_paths, defaults.READONLY_PATHS),
            # crun takes them from the namespace that is joined; told, before 1.24, it chowns the machine's /dev/null to that root
            **({} if here.infers_mappings else spec_sandbox.id_mappings(place.sandbox.user_namespace)),
            **_rootfs_propagation(config.mounts),
            **({"seccomp": seccomp} if seccomp else {}),
        },
    }


def _namespaces(config: model.ContainerConfig, place: Place, here: machine.Machine) -> list[dict[str, str]]:
    found = [{"type": "mount"}, *_pid_namespace(config.pid, place)]
    shared = f"/proc/{place.pause_pid}/ns"
    if place.sandbox.user_namespace is not None:
        found.append({"type": "user", "path": f"{shared}/user"})
    if place.sandbox.network is not model.NamespaceMode.NODE:
        found += [{"type": "network", "path": f"{shared}/net"}, {"type": "uts", "path": f"{shared}/uts"}]
    if place.sandbox.ipc is not model.NamespaceMode.NODE:
        found.append({"type": "ipc", "path": f"{shared}/ipc"})
    if here.cgroup_version == 2 and not config.security.privileged:
        found.append({"type": "cgroup"})
    return found


def _pid_namespace(mode: model.NamespaceMode, place: Place) -> list[dict[str, str]]:
    match mode:
        case model.NamespaceMode.CONTAINER:
            return [{"type": "pid"}]
        case model.NamespaceMode.POD:
            return [{"type": "pid", "path": f"/proc/{place.pause_pid}/ns/pid"}]
        case model.NamespaceMode.TARGET:
            return [{"type": "pid", "path": f"/proc/{place.target_pid}/ns/pid"}]
        case model.NamespaceMode.NODE:
            return []
        case _:
            assert_never(mode)


def _mounts(config: model.ContainerConfig, place: Place) -> list[dict[str, Any]]:
    """The kernel's, the sandbox's, the container's own; where two want one place, the container's own wins."""
    own = [_bind(mount) for mount in config.mounts]
    taken = {_normal(mount["destination"]) for mount in own}
    base = [*defaults.mounts(privileged=config.security.privileged), *_shared(config, place)]
    kept = [mount for mount in base if mount["destination"] not in taken]
    return kept + sorted(own, key=lambda mount: len(PurePosixPath(mount["destination"]).parts))


def _normal(path: str) -> str:
    return os.path.normpath(path)


def _shared(config: model.ContainerConfig, place: Place) -> list[dict[str, Any]]:
    access = "ro" if config.security.readonly_rootfs else "rw"
    shm = "/dev/shm" if place.sandbox.ipc is model.NamespaceMode.NODE else str(place.folder.shm)
    files = (("/etc/hosts", place.folder.hosts), ("/etc/hostname", place.folder.hostname), ("/etc/resolv.conf", place.folder.resolv_conf))
    return [
        defaults.bind(shm, "/dev/shm", "rbind", "rprivate", "nosuid", "nodev", "noexec", "rw"),
        *(defaults.bind(str(source), destination, "rbind", "rprivate", access) for destination, source in files),
    ]


def _bind(mount: model.Mount) -> dict[str, Any]:
    propagation = {"private": "rprivate"}.get(mount.propagation, mount.propagation)
    options = ["rbind", propagation, "ro" if mount.readonly else "rw"]
    if mount.readonly and mount.recursive_readonly:
        options.append("rro")
    return defaults.bind(str(mount.source), mount.destination, *options)


def _rootfs_propagation(mounts: Sequence[model.Mount]) -> dict[str, str]:
    """A mount can only be a slave or a peer of the host's if the container's own tree is at least that."""
    wanted = {mount.propagation for mount in mounts}
    if "rshared" in wanted:
        return {"rootfsPropagation": "rshared"}
    return {"rootfsPropagation": "rslave"} if "rslave" in wanted else {}


def _paths(security: model.Security, wanted: tuple[str, ...] | None, default: tuple[str, ...]) -> list[str]:
    if wanted is not None:
        return list(wanted)
    return [] if security.privileged else list(default)


def resources(wanted: model.Resources, here: machine.Machine) -> dict[str, Any]:
    """``linux.resources`` without devices; also what an update of a running container takes."""
    cpu: dict[str, Any] = {
        "shares": wanted.cpu_shares,
        "quota": wanted.cpu_quota_micros,
        "period": wanted.cpu_period_micros,
        "cpus": wanted.cpuset_cpus,
        "mems": wanted.cpuset_mems,
    }
    swap = wanted.memory_swap_limit_bytes or wanted.memory_limit_bytes
    memory = {"limit": wanted.memory_limit_bytes, "swap": swap if here.swap_limits else 0}
    huge = wanted.hugepage_limit_bytes if here.hugetlb else {}
    found: dict[str, Any] = {
        "cpu": {key: value for key, value in cpu.items() if value},
        "memory": {key: value for key, value in memory.items() if value},
        "pids": {"limit": wanted.pids_limit} if wanted.pids_limit else {},
        "hugepageLimits": [{"pageSize": size, "limit": value} for size, value in huge.items()],
        "unified": {file: value for file, value in wanted.unified.items() if file.partition(".")[0] in here.controllers},
    }
    return {key: value for key, value in found.items() if value}

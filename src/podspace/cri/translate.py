"""From the CRI's messages to the engine's nouns. Pure; what cannot be done here is refused with its name, never ignored.

Called by ``sandboxes`` and ``containers``. Source: cri-api runtime/v1 api.proto; containerd where the comments there are silent.
"""

from __future__ import annotations

import ipaddress
import signal
from collections.abc import Sequence
from pathlib import Path

from cri_api.v1 import api_pb2 as pb

from podspace import errors
from podspace.cri import owned
from podspace.linux import idmap
from podspace.network.attachment import HostPort
from podspace.runtime import model

_MODES = {
    pb.POD: model.NamespaceMode.POD,
    pb.CONTAINER: model.NamespaceMode.CONTAINER,
    pb.NODE: model.NamespaceMode.NODE,
    pb.TARGET: model.NamespaceMode.TARGET,
}
_PROPAGATION = {pb.PROPAGATION_PRIVATE: "private", pb.PROPAGATION_HOST_TO_CONTAINER: "rslave", pb.PROPAGATION_BIDIRECTIONAL: "rshared"}


def sandbox(wanted: pb.PodSandboxConfig, runtime_handler: str = "") -> model.SandboxConfig:
    """Raises: BadRequest, Unsupported."""
    if not wanted.HasField("metadata") or not wanted.metadata.name:
        raise errors.BadRequest("sandbox config must include metadata with a name")
    options = wanted.linux.security_context.namespace_options
    return model.SandboxConfig(
        name=wanted.metadata.name,
        uid=wanted.metadata.uid,
        namespace=wanted.metadata.namespace,
        attempt=wanted.metadata.attempt,
        owner=owned.OWNER,
        hostname=wanted.hostname,
        log_directory=Path(wanted.log_directory),
        dns=model.DnsConfig(
            servers=tuple(wanted.dns_config.servers), searches=tuple(wanted.dns_config.searches), options=tuple(wanted.dns_config.options)
        ),
        pid=_MODES[options.pid],
        network=_MODES[options.network],
        ipc=_MODES[options.ipc],
        user_namespace=user_namespace(options),
        pause=pause(wanted.linux.security_context),
        sysctls=dict(wanted.linux.sysctls),
        host_ports=tuple(host_port(mapping) for mapping in wanted.port_mappings if mapping.host_port),
        runtime_handler=runtime_handler,
        cgroup_parent=_cgroup_parent(wanted.linux.cgroup_parent),
        labels=dict(wanted.labels),
        annotations=dict(wanted.annotations),
    )


def pause(wanted: pb.LinuxSandboxSecurityContext) -> model.PauseSecurity:
    """Without a word on seccomp it is confined as always. Raises: BadRequest."""
    if wanted.HasField("run_as_group") and not wanted.HasField("run_as_user"):
        raise errors.BadRequest("run_as_group is specified without run_as_user")
    asked = wanted.HasField("seccomp") or bool(wanted.seccomp_profile_path)
    return model.PauseSecurity(
        uid=wanted.run_as_user.value,
        gid=wanted.run_as_group.value,
        supplemental_groups=tuple(wanted.supplemental_groups),
        seccomp=seccomp(wanted) if asked else model.SeccompProfile(),
    )


def host_port(mapping: pb.PortMapping) -> HostPort:
    """Raises: BadRequest."""
    if not (0 < mapping.host_port < 65536 and 0 < mapping.container_port < 65536):
        raise errors.BadRequest(f"port mapping {mapping.host_port} to {mapping.container_port}: not ports")
    try:
        host_ip = str(ipaddress.ip_address(mapping.host_ip)) if mapping.host_ip else ""
    except ValueError as error:
        raise errors.BadRequest(f'port mapping {mapping.host_port}: host_ip "{mapping.host_ip}" is not an address') from error
    return HostPort(
        protocol=pb.Protocol.Name(mapping.protocol).lower(),
        host_port=mapping.host_port,
        container_port=mapping.container_port,
        host_ip=host_ip,
    )


def _cgroup_parent(name: str) -> str:
    if not name:
        return ""
    if ".." in name.split("/"):
        raise errors.BadRequest(f'cgroup_parent "{name}" must not contain ".."')
    return "/" + name.strip("/")


def user_namespace(options: pb.NamespaceOption) -> idmap.IdMap | None:
    """None: the host's. Raises: BadRequest."""
    if not options.HasField("userns_options") or options.userns_options.mode == pb.NODE:
        return None
    wanted = options.userns_options
    if wanted.mode != pb.POD:
        raise errors.BadRequest(f"user namespace mode {pb.NamespaceMode.Name(wanted.mode)} is not one of POD and NODE")
    for name, mappings in (("uids", wanted.uids), ("gids", wanted.gids)):
        if len(mappings) != 1 or mappings[0].container_id != 0:
            raise errors.BadRequest(f"a user namespace needs exactly one mapping of {name}, and that must map the container's id 0")
    return id_map("the user namespace", wanted.uids, wanted.gids)


_LAST_ID = 2**32 - 1


def id_map(what: str, uids: Sequence[pb.IDMapping], gids: Sequence[pb.IDMapping]) -> idmap.IdMap | None:
    """None: there is none. Raises: BadRequest."""
    if not uids and not gids:
        return None
    if not uids or not gids:
        raise errors.BadRequest(f"{what} maps only {'uids' if uids else 'gids'}, and needs both")
    for mapping in (*uids, *gids):
        if not mapping.length or max(mapping.container_id, mapping.host_id) + mapping.length > _LAST_ID:
            raise errors.BadRequest(f"{what} maps {mapping.length} ids from {mapping.container_id} to {mapping.host_id}: there are no such")
    return idmap.IdMap(uids=_ranges(uids), gids=_ranges(gids))


def _ranges(mappings: Sequence[pb.IDMapping]) -> tuple[idmap.Range, ...]:
    return tuple(idmap.Range(inside=item.container_id, outside=item.host_id, length=item.length) for item in mappings)


def apparmor(security: pb.LinuxContainerSecurityContext) -> model.AppArmorProfile:
    """What kubelets before 1.30 put in a field of its own counts where the new one is not set. Raises: BadRequest."""
    old = security.apparmor_profile
    if security.HasField("apparmor"):
        kind = pb.SecurityProfile.ProfileType.Name(security.apparmor.profile_type)
        return model.AppArmorProfile(kind=kind, name=security.apparmor.localhost_ref.removeprefix("localhost/"))
    if not old:
        return model.AppArmorProfile()
    if old.startswith("localhost/"):
        return model.AppArmorProfile(kind="Localhost", name=old.removeprefix("localhost/"))
    kinds = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}
    if old not in kinds:
        raise errors.BadRequest(f'invalid apparmor profile "{old}"')
    return model.AppArmorProfile(kind=kinds[old])


def container(wanted: pb.ContainerConfig, place: model.SandboxStatus, image_id: str) -> model.ContainerConfig:
    """Raises: BadRequest, Unsupported."""
    if not wanted.HasField("metadata") or not wanted.metadata.name:
        raise errors.BadRequest("container config must include metadata with a name")
    options = wanted.linux.security_context.namespace_options
    if user_namespace(options) != place.config.user_namespace:
        raise errors.BadRequest("the user namespace of a container is that of its sandbox, which has another")
    return model.ContainerConfig(
        name=wanted.metadata.name,
        attempt=wanted.metadata.attempt,
        image=image_id,
        image_reference=wanted.image.user_specified_image or wanted.image.image,
        command=tuple(wanted.command),
        args=tuple(wanted.args),
        working_dir=wanted.working_dir,
        env=tuple((item.key, item.value) for item in wanted.envs),
        mounts=tuple(mount(item) for item in wanted.mounts),
        devices=tuple(
            model.Device(source=Path(item.host_path), destination=item.container_path, permissions=item.permissions or "rwm")
            for item in wanted.devices
        ),
        cdi_devices=cdi_devices(wanted),
        stdin=wanted.stdin,
        stdin_once=wanted.stdin_once,
        tty=wanted.tty,
        log_path=wanted.log_path.lstrip("/") if place.config.log_directory != Path() else "",
        pid=_pid_mode(options, place.config),
        pid_target=model.ContainerId(options.target_id) if options.pid == pb.TARGET else None,
        security=security(wanted.linux, has_linux=wanted.HasField("linux")),
        resources=resources(wanted.linux.resources),
        stop_signal=stop_signal(wanted.stop_signal),
        labels=dict(wanted.labels),
        annotations=dict(wanted.annotations),
    )


_CDI = "cdi.k8s.io/"


def cdi_devices(wanted: pb.ContainerConfig) -> tuple[str, ...]:
    """By the field, then by annotations (``cdi.k8s.io/*``: names with commas between), as device plugins have them; each once."""
    annotated = [value for key, value in sorted(wanted.annotations.items()) if key.startswith(_CDI)]
    names = [*(device.name for device in wanted.CDI_devices), *(name for value in annotated for name in value.split(","))]
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _pid_mode(options: pb.NamespaceOption, place: model.SandboxConfig) -> model.NamespaceMode:
    mode = _MODES[options.pid]
    if mode is model.NamespaceMode.POD and place.pid is model.NamespaceMode.NODE:
        return model.NamespaceMode.NODE  # the Pod's is the host's
    return mode


def mount(wanted: pb.Mount) -> model.Mount:
    """Raises: BadRequest, Unsupported."""
    where = wanted.container_path
    if wanted.HasField("image"):
        return _image_mount(wanted)
    if not where or not wanted.host_path.startswith("/"):
        raise errors.BadRequest(f'mount of "{wanted.host_path}" at "{where}": both must be given, the host path absolute')
    if wanted.recursive_read_only and not wanted.readonly:
        raise errors.BadRequest(f"mount {where}: recursive_read_only needs readonly")
    if wanted.recursive_read_only and wanted.propagation != pb.PROPAGATION_PRIVATE:
        raise errors.BadRequest(f"mount {where}: recursive_read_only needs PROPAGATION_PRIVATE")
    return model.Mount(
        source=Path(wanted.host_path),
        destination=_absolute(where),
        readonly=wanted.readonly,
        propagation=_PROPAGATION[wanted.propagation],
        recursive_readonly=wanted.recursive_read_only,
        id_map=id_map(f"mount {where}", wanted.uidMappings, wanted.gidMappings),
    )


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _image_mount(wanted: pb.Mount) -> model.Mount:
    """The image is still as the kubelet named it. Raises: BadRequest."""
    where = wanted.container_path
    if not where or not wanted.image.image:
        raise errors.BadRequest(f'mount of the image "{wanted.image.image}" at "{where}": both must be given')
    if wanted.host_path:
        raise errors.BadRequest(f"mount {where}: host_path must be empty where an image is mounted")
    if not wanted.readonly:
        raise errors.BadRequest(f"mount {where}: readonly must be true where an image is mounted")
    return model.Mount(
        destination=_absolute(where),
        image=wanted.image.image,
        image_reference=wanted.image.user_specified_image or wanted.image.image,
        image_sub_path=wanted.image_sub_path,
        readonly=True,
    )


def security(linux: pb.LinuxContainerConfig, *, has_linux: bool) -> model.Security:
    """Raises: BadRequest, Unsupported."""
    wanted = linux.security_context
    if not has_linux or not linux.HasField("security_context"):
        return model.Security()
    has_user = wanted.HasField("run_as_user") or bool(wanted.run_as_username)
    if wanted.HasField("run_as_group") and not has_user:
        raise errors.BadRequest("run_as_group is specified without run_as_user")
    return model.Security(
        user=wanted.run_as_username,
        uid=wanted.run_as_user.value if wanted.HasField("run_as_user") else None,
        gid=wanted.run_as_group.value if wanted.HasField("run_as_group") else None,
        supplemental_groups=tuple(wanted.supplemental_groups),
        supplemental_groups_policy="Strict" if wanted.supplemental_groups_policy == pb.Strict else "Merge",
        privileged=wanted.privileged,
        capabilities_add=tuple(map(_bare, wanted.capabilities.add_capabilities)),
        capabilities_drop=tuple(map(_bare, wanted.capabilities.drop_capabilities)),
        capabilities_ambient=tuple(map(_bare, wanted.capabilities.add_ambient_capabilities)),
        no_new_privs=wanted.no_new_privs,
        readonly_rootfs=wanted.readonly_rootfs,
        seccomp=seccomp(wanted),
        apparmor=apparmor(wanted),
        # a kubelet always says which; nothing said is nothing masked, as containerd has it
        masked_paths=() if wanted.privileged else tuple(wanted.masked_paths),
        readonly_paths=() if wanted.privileged else tuple(wanted.readonly_paths),
    )


def _bare(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")


def seccomp(wanted: pb.LinuxContainerSecurityContext | pb.LinuxSandboxSecurityContext) -> model.SeccompProfile:
    """Without a word: unconfined. Raises: BadRequest."""
    old = wanted.seccomp_profile_path
    if wanted.HasField("seccomp"):
        profile = wanted.seccomp
        if profile.profile_type == pb.SecurityProfile.RuntimeDefault:
            return model.SeccompProfile(kind="RuntimeDefault")
        if profile.profile_type == pb.SecurityProfile.Localhost:
            return _localhost(profile.localhost_ref)
    elif old in ("runtime/default", "docker/default"):
        return model.SeccompProfile(kind="RuntimeDefault")
    elif old.startswith("localhost/"):
        return _localhost(old.removeprefix("localhost/"))
    return model.SeccompProfile(kind="Unconfined")


def _localhost(path: str) -> model.SeccompProfile:
    if not path.startswith("/"):
        raise errors.BadRequest(f'seccomp profile "{path}": the path must be absolute')
    return model.SeccompProfile(kind="Localhost", localhost_path=Path(path))


def resources(wanted: pb.LinuxContainerResources) -> model.Resources:
    """0 = not set, in both."""
    return model.Resources(
        cpu_period_micros=wanted.cpu_period,
        cpu_quota_micros=wanted.cpu_quota,
        cpu_shares=wanted.cpu_shares,
        memory_limit_bytes=wanted.memory_limit_in_bytes,
        memory_swap_limit_bytes=wanted.memory_swap_limit_in_bytes,
        oom_score_adj=wanted.oom_score_adj,
        cpuset_cpus=wanted.cpuset_cpus,
        cpuset_mems=wanted.cpuset_mems,
        hugepage_limit_bytes={item.page_size: item.limit for item in wanted.hugepage_limits},
        unified=dict(wanted.unified),
    )


def stop_signal(wanted: pb.Signal.ValueType) -> str:
    """A name or number the engine knows; "" = the image's. ``SIGRTMAXMINUS3`` is a number: no name counts down."""
    name = "" if wanted == pb.RUNTIME_DEFAULT else pb.Signal.Name(wanted)
    if name.startswith("SIGRTMAX"):
        return str(signal.SIGRTMAX - int(name.removeprefix("SIGRTMAX").removeprefix("MINUS") or 0))
    return name.replace("SIGRTMINPLUS", "SIGRTMIN+")

"""From the engine's snapshots to the CRI's messages. Pure. Called by ``sandboxes``, ``containers`` and ``events``."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from cri_api.v1 import api_pb2 as pb

from podspace.cri import newer
from podspace.image.model import Image
from podspace.linux import idmap
from podspace.runtime import model

_MODES = {
    model.NamespaceMode.POD: pb.POD,
    model.NamespaceMode.CONTAINER: pb.CONTAINER,
    model.NamespaceMode.NODE: pb.NODE,
    model.NamespaceMode.TARGET: pb.TARGET,
}
_STATES = {
    model.ContainerState.CREATED: pb.CONTAINER_CREATED,
    model.ContainerState.RUNNING: pb.CONTAINER_RUNNING,
    model.ContainerState.EXITED: pb.CONTAINER_EXITED,
}
_PROPAGATION = {"private": pb.PROPAGATION_PRIVATE, "rslave": pb.PROPAGATION_HOST_TO_CONTAINER, "rshared": pb.PROPAGATION_BIDIRECTIONAL}


def sandbox_metadata(config: model.SandboxConfig) -> pb.PodSandboxMetadata:
    return pb.PodSandboxMetadata(name=config.name, uid=config.uid, namespace=config.namespace, attempt=config.attempt)


def sandbox_state(status: model.SandboxStatus) -> pb.PodSandboxState.ValueType:
    return pb.SANDBOX_READY if status.state is model.SandboxState.READY else pb.SANDBOX_NOTREADY


def sandbox_status(status: model.SandboxStatus) -> pb.PodSandboxStatus:
    """A sandbox in the host's network has no address of its own to tell."""
    config = status.config
    network = None
    if config.network is not model.NamespaceMode.NODE:
        network = pb.PodSandboxNetworkStatus(
            ip=status.ips[0] if status.ips else "", additional_ips=[pb.PodIP(ip=address) for address in status.ips[1:]]
        )
    options = pb.NamespaceOption(
        network=_MODES[config.network],
        pid=_MODES[config.pid],
        ipc=_MODES[config.ipc],
        userns_options=user_namespace(config.user_namespace),
    )
    return pb.PodSandboxStatus(
        id=status.id,
        metadata=sandbox_metadata(config),
        state=sandbox_state(status),
        created_at=status.created_nanos,
        network=network,
        linux=pb.LinuxPodSandboxStatus(namespaces=pb.Namespace(options=options)),
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=config.runtime_handler,
    )


def sandbox(status: model.SandboxStatus) -> pb.PodSandbox:
    """An entry of ListPodSandbox."""
    return pb.PodSandbox(
        id=status.id,
        metadata=sandbox_metadata(status.config),
        state=sandbox_state(status),
        created_at=status.created_nanos,
        labels=status.config.labels,
        annotations=status.config.annotations,
        runtime_handler=status.config.runtime_handler,
    )


def container_state(status: model.ContainerStatus) -> pb.ContainerState.ValueType:
    return _STATES[status.state]


def _metadata(config: model.ContainerConfig) -> pb.ContainerMetadata:
    return pb.ContainerMetadata(name=config.name, attempt=config.attempt)


def image_names(config: model.ContainerConfig, image: Image | None) -> tuple[str, str]:
    """The image's name and the reference that identifies its content, as containerd chooses them: first tag, first digest."""
    name = image.repo_tags[0] if image and image.repo_tags else config.image_reference or config.image
    return name, image.repo_digests[0] if image and image.repo_digests else config.image


def container(status: model.ContainerStatus, image: Image | None) -> pb.Container:
    """An entry of ListContainers."""
    config = status.config
    name, reference = image_names(config, image)
    return pb.Container(
        id=status.id,
        pod_sandbox_id=status.sandbox_id,
        metadata=_metadata(config),
        image=pb.ImageSpec(image=name, user_specified_image=config.image_reference),
        image_ref=reference,
        image_id=config.image,
        state=container_state(status),
        created_at=status.created_nanos,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(status: model.ContainerStatus, image: Image | None) -> pb.ContainerStatus:
    """All that is known."""
    config = status.config
    name, reference = image_names(config, image)
    return pb.ContainerStatus(
        id=status.id,
        metadata=_metadata(config),
        state=container_state(status),
        created_at=status.created_nanos,
        started_at=status.started_nanos,
        finished_at=status.finished_nanos,
        exit_code=status.exit_code,
        image=pb.ImageSpec(image=name, user_specified_image=config.image_reference),
        image_ref=reference,
        image_id=config.image,
        reason=status.reason,
        message=status.message,
        labels=config.labels,
        annotations=config.annotations,
        mounts=[mount(item) for item in config.mounts],
        log_path=str(status.log_path) if status.log_path != Path() else "",
        resources=pb.ContainerResources(linux=resources(config.resources)),
        user=user(status.user),
        stop_signal=stop_signal(config.stop_signal),
    )


def mount(item: model.Mount) -> pb.Mount:
    return pb.Mount(
        container_path=item.destination,
        host_path="" if item.image else str(item.source),
        readonly=item.readonly,
        recursive_read_only=item.recursive_readonly,
        propagation=_PROPAGATION[item.propagation],
        image=_volume(item) if item.image else None,
        image_sub_path=item.image_sub_path,
        uidMappings=mappings(item.id_map.uids) if item.id_map else (),
        gidMappings=mappings(item.id_map.gids) if item.id_map else (),
    )


def _volume(item: model.Mount) -> pb.ImageSpec:
    spec = pb.ImageSpec(image=item.image_reference or item.image, user_specified_image=item.image_reference)
    return newer.with_image_ref(spec, item.image)


def mappings(ranges: Sequence[idmap.Range]) -> list[pb.IDMapping]:
    return [pb.IDMapping(container_id=item.inside, host_id=item.outside, length=item.length) for item in ranges]


def user_namespace(known: idmap.IdMap | None) -> pb.UserNamespace | None:
    if known is None:
        return None
    return pb.UserNamespace(mode=pb.POD, uids=mappings(known.uids), gids=mappings(known.gids))


def user(found: model.ResolvedUser | None) -> pb.ContainerUser | None:
    """The group itself is among the supplemental ones, as id(1) shows them."""
    if found is None:
        return None
    groups = sorted({found.gid, *found.supplemental_groups})
    return pb.ContainerUser(linux=pb.LinuxContainerUser(uid=found.uid, gid=found.gid, supplemental_groups=groups))


def resources(known: model.Resources) -> pb.LinuxContainerResources:
    return pb.LinuxContainerResources(
        cpu_period=known.cpu_period_micros,
        cpu_quota=known.cpu_quota_micros,
        cpu_shares=known.cpu_shares,
        memory_limit_in_bytes=known.memory_limit_bytes,
        memory_swap_limit_in_bytes=known.memory_swap_limit_bytes,
        oom_score_adj=known.oom_score_adj,
        cpuset_cpus=known.cpuset_cpus,
        cpuset_mems=known.cpuset_mems,
        hugepage_limits=[pb.HugepageLimit(page_size=size, limit=limit) for size, limit in known.hugepage_limit_bytes.items()],
        unified=known.unified,
    )


def stop_signal(name: str) -> pb.Signal.ValueType:
    """The inverse of ``translate.stop_signal``."""
    if name.isdigit():
        below = signal.SIGRTMAX - int(name)
        name = f"SIGRTMAXMINUS{below}" if below else "SIGRTMAX"
    known = dict(pb.Signal.items())
    return known.get(name.replace("SIGRTMIN+", "SIGRTMINPLUS"), pb.RUNTIME_DEFAULT)


def selected(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether all of a filter's labels are there."""
    return all(labels.get(key) == value for key, value in selector.items())

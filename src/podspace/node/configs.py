"""From a Pod to what the engine is asked for: one sandbox, and one config per container. Pure.

The process namespace table of docs/architecture.md is decided here and nowhere else.
Source: kubelet pkg/kubelet/kuberuntime/{kuberuntime_sandbox,kuberuntime_container}*.go; KEP-495 (shared PID namespace).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from podspace.image import reference
from podspace.image.model import Image
from podspace.kube import qos
from podspace.kube.json import JSON
from podspace.linux.idmap import IdMap
from podspace.node import environment, host_ports, resources, security, sysctls
from podspace.node.pod import Container, Pod
from podspace.node.volume_mounts import Source
from podspace.runtime import model

IMAGE_NAME = "podspace.io/image-name"  # what status shows as image: the name in full, as containerd tells it
IMAGE_REF = "podspace.io/image-ref"  # what status shows as imageID: the digest it was pulled by, else its id

_UTS_LIMIT = 64  # sethostname(2)


def sandbox_config(
    pod: Pod,
    *,
    attempt: int,
    log_root: Path,
    resolver: model.DnsConfig,
    cluster_domain: str,
    pids_limit: int = 0,
    runtime_handler: str = "",
    user_namespace: IdMap | None = None,
) -> model.SandboxConfig:
    """Return what ``Engine.run_sandbox`` gets for this Pod.

    Raises: ConfigError when its host name is longer than Linux bears.
    """
    node, own = model.NamespaceMode.NODE, model.NamespaceMode.POD
    wanted = {sysctls.normal(item["name"]): item["value"] for item in pod.security.get("sysctls") or ()}
    return model.SandboxConfig(
        name=pod.name,
        uid=pod.uid,
        namespace=pod.namespace,
        attempt=attempt,
        hostname="" if pod.host_network else _hostname(pod, cluster_domain),
        log_directory=log_directory(pod, log_root),
        dns=resolver,
        pid=pid_mode(pod),
        network=node if pod.host_network else own,
        ipc=node if pod.host_ipc else own,
        user_namespace=user_namespace,
        sysctls=wanted,
        host_ports=() if pod.host_network else host_ports.of_pod(pod.spec),
        cgroup_group=resources.GROUPS[qos.qos_class(pod.spec)],
        resources=resources.pod_resources(pod.spec, pids_limit=pids_limit),
        runtime_handler=runtime_handler,
        labels=pod.raw["metadata"].get("labels") or {},
        annotations=pod.raw["metadata"].get("annotations") or {},
    )


def log_directory(pod: Pod, log_root: Path) -> Path:
    """``<namespace>_<name>_<uid>``, the kubelet's naming, which log shippers parse."""
    return log_root / f"{pod.namespace}_{pod.name}_{pod.uid}"


def pid_mode(pod: Pod) -> model.NamespaceMode:
    """The table: shared, the host's, or each container its own. Both at once was refused by validation."""
    if pod.host_pid:
        return model.NamespaceMode.NODE
    return model.NamespaceMode.POD if pod.share_pid else model.NamespaceMode.CONTAINER


def _hostname(pod: Pod, cluster_domain: str) -> str:
    name = pod.fqdn(cluster_domain)
    if pod.spec.get("setHostnameAsFQDN") and name:
        if len(name) > _UTS_LIMIT:
            words = f"FQDN {name} is too long ({_UTS_LIMIT} characters is the max, {len(name)} characters requested)"
            raise environment.ConfigError(f"failed to construct FQDN from pod hostname and cluster domain, {words}")
        return name
    return pod.hostname


def container_config(
    pod: Pod,
    container: Container,
    *,
    attempt: int,
    image: Image,
    env: tuple[tuple[str, str], ...],
    mounts: tuple[model.Mount, ...],
    devices: tuple[model.Device, ...],
    groups: tuple[int, ...],
    memory_capacity_bytes: int,
    seccomp_profiles: Path,
    target: model.ContainerId | None,
) -> model.ContainerConfig:
    """Return what ``Engine.create_container`` gets for one container of this Pod. ``groups``: those of its volumes."""
    variables = dict(env)
    mode = pid_mode(pod)
    if target is not None and mode is model.NamespaceMode.CONTAINER:
        mode = model.NamespaceMode.TARGET
    return model.ContainerConfig(
        name=container.name,
        attempt=attempt,
        image=image.id,
        image_reference=container.image,
        command=tuple(environment.expand(word, variables) for word in container.command),
        args=tuple(environment.expand(word, variables) for word in container.args),
        working_dir=container.working_dir,
        env=env,
        mounts=mounts,
        devices=devices,
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        log_path=f"{container.name}/{attempt}.log",
        pid=mode,
        pid_target=target if mode is model.NamespaceMode.TARGET else None,
        security=security.of_container(pod, container, seccomp_profiles=seccomp_profiles, volume_groups=groups),
        resources=resources.container_resources(pod.spec, container.raw, memory_capacity_bytes=memory_capacity_bytes),
        stop_signal=(container.raw.get("lifecycle") or {}).get("stopSignal") or "",
        labels={"role": container.role.name},
        annotations={IMAGE_NAME: _full_name(container.image), IMAGE_REF: image.repo_digests[0] if image.repo_digests else image.id},
    )


def _full_name(name: str) -> str:
    """``busybox`` is ``docker.io/library/busybox:latest``; an image named by its id stays so."""
    return name if reference.image_id(name) else str(reference.parse(name))


def mounts_of(
    pod: Pod,
    container: Container,
    shown: Sequence[Source],
    files: Mapping[str, Path],
    *,
    user_namespace: IdMap | None = None,
    recursive_readonly: bool = True,
) -> tuple[model.Mount, ...]:
    """The container's volume mounts, each of what is ``shown``, then the files podspace puts in (``files``: destination -> host path).

    What podspace itself writes into is read-only to containers, as a kubelet has it: a symlink put there would lead the server astray.
    In a user namespace all have its ids: what is root's on disk is its root's. ``recursive_readonly``: whether the kernel can.
    Raises: ConfigError when it must and cannot.
    """
    written = {volume["name"] for volume in pod.spec.get("volumes") or () if _is_readonly(volume)}
    items = container.raw.get("volumeMounts") or ()
    own = [
        _mount(item, source, readonly=item["name"] in written, recursive=_recursive(item, possible=recursive_readonly))
        for item, source in zip(items, shown, strict=True)
    ]
    taken = {mount.destination.rstrip("/") for mount in own}
    own += [model.Mount(source=path, destination=destination) for destination, path in files.items() if destination not in taken]
    return tuple(own) if user_namespace is None else tuple(replace(mount, id_map=user_namespace) for mount in own)


def devices_of(container: Container, devices: Mapping[str, Path]) -> tuple[model.Device, ...]:
    """The block volumes given to the container, which may read, write and make nodes of them, as a kubelet lets it."""
    wanted = container.raw.get("volumeDevices") or ()
    return tuple(model.Device(source=devices[item["name"]], destination=item["devicePath"], permissions="mrw") for item in wanted)


_WRITTEN_BY_US = frozenset({"configMap", "secret", "downwardAPI", "projected"})


def _is_readonly(volume: JSON) -> bool:
    return bool(_WRITTEN_BY_US & volume.keys()) or bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def _recursive(item: JSON, *, possible: bool) -> bool:
    """KEP-3857."""
    wanted = item.get("recursiveReadOnly")
    if wanted == "Enabled" and not possible:
        words = f'volume "{item["name"]}" requested recursive read-only mount, but it is not supported by the runtime'
        raise environment.ConfigError(words)
    return possible and wanted in ("Enabled", "IfPossible")


def _mount(item: JSON, source: Source, *, readonly: bool, recursive: bool) -> model.Mount:
    propagation = {"HostToContainer": "rslave", "Bidirectional": "rshared"}.get(item.get("mountPropagation") or "", "private")
    destination = item["mountPath"]
    return model.Mount(
        source=source.path,
        image=source.image,
        image_reference=source.image_reference,
        image_sub_path=source.image_sub_path,
        destination=destination if destination.startswith("/") else f"/{destination}",
        readonly=readonly or bool(item.get("readOnly")),
        propagation=propagation,
        recursive_readonly=recursive,
    )

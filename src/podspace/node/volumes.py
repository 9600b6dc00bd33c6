"""A Pod's volumes on this machine: folders made before its containers start, removed when the Pod is gone.

The layout is the kubelet's: ``pods/<uid>/volumes/kubernetes.io~<plugin>/<name>``. ConfigMaps, Secrets, tokens and the downward API are
written through ``payload``, so a reader sees all of the old files or all of the new ones; what is secret of them lies in memory.
Called in a thread; blocks on the disk. Source: kubelet pkg/volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from podspace.kube.json import JSON
from podspace.linux import mounts, trees
from podspace.node import claim_volumes, claims, payload, subpaths, volume_files, volume_folders, volume_ownership
from podspace.node.environment import ConfigError
from podspace.node.pod import Pod, PodUid
from podspace.node.volume_files import VolumeContext

_PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}
_FOLDER = "volumes"
_IN_MEMORY = frozenset({"secret", "downwardAPI", "projected"})


def folder(pods: Path, uid: PodUid) -> Path:
    """Everything podspace keeps on disk for one Pod."""
    return pods / uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Volume -> where it lies on the host: ``folders`` (and files) to mount, ``devices`` to give; ``groups`` that may use them."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    devices: Mapping[str, Path] = field(default_factory=dict)
    groups: tuple[int, ...] = ()


def prepare(pod: Pod, context: VolumeContext, known: Prepared) -> Prepared:
    """Make every volume of the Pod that has a place on the host. Idempotent.

    ``known``: what was made before; of that only what shows objects is looked at again: what has become of a path of the host, or of a
    claim, is no business of containers that have it.
    Raises: ConfigError for a missing ConfigMap, Secret, key or claim, or a host path of the wrong type.
    """
    folders = dict(known.folders)
    devices = dict(known.devices)
    groups = list(known.groups)
    uses = {use.volume: use for use in claims.used_by(pod.raw)}
    for volume in pod.spec.get("volumes") or ():
        name: str = volume["name"]
        made = name in folders or name in devices
        if "image" in volume or (made and not volume_files.SOURCES & volume.keys()):  # the engine mounts images into each container
            continue
        try:
            if name in uses:
                found = claim_volumes.find(pod, uses[name], context.lookup)
                (devices if found.block else folders)[name] = found.path
                groups += [] if found.group is None else [found.group]
                _share_once(pod, volume, found, context)
            else:
                folders[name] = _prepare(pod, volume, context)
        except claim_volumes.ClaimError:
            raise
        except (ConfigError, OSError) as error:
            raise ConfigError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
    return Prepared(folders=folders, devices=devices, groups=tuple(dict.fromkeys(groups)))


def _share_once(pod: Pod, volume: JSON, found: claim_volumes.Found, context: VolumeContext) -> None:
    """Give a volume that outlives its Pods to this one's group: once in the Pod's life, for it may be large."""
    group = pod.security.get("fsGroup")
    done = folder(context.pods, pod.uid) / "shared" / volume["name"]
    readonly = bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
    if group is None or readonly or not found.shareable or done.exists():
        return
    if_needed = pod.security.get("fsGroupChangePolicy") == "OnRootMismatch"
    volume_ownership.give(found.path, group, only_if_root_differs=if_needed)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()


def on_disk(pods: Path, pod: Pod) -> dict[str, Path]:
    """The volumes that take room on the server's disk for as long as the Pod is there."""
    home = folder(pods, pod.uid) / _FOLDER
    found = {}
    for volume in pod.spec.get("volumes") or ():
        kind = next((kind for kind in ("emptyDir", "configMap") if kind in volume), None)
        if kind is not None and not (volume[kind] or {}).get("medium"):
            found[volume["name"]] = home / _PLUGINS[kind] / volume["name"]
    return found


def tear_down(pods: Path, uid: PodUid) -> None:
    """Unmount and delete the volumes of a Pod that has run its course; what tells how it ended stays. Idempotent."""
    home = folder(pods, uid)
    for name in (subpaths.FOLDER, _FOLDER):
        if (home / name).exists():
            _remove(home / name)


def remove(pods: Path, uid: PodUid) -> None:
    """Unmount and delete everything of a Pod. Idempotent."""
    _remove(folder(pods, uid))


def _remove(home: Path) -> None:
    mounts.unmount_below(home)  # tmpfs of ours, parts of volumes, and what a container with Bidirectional propagation left
    if not mounts.below(home):  # never through a mount: what lies behind it is not ours
        trees.remove_quietly(home)


def _prepare(pod: Pod, volume: JSON, context: VolumeContext) -> Path:
    if (source := volume.get("hostPath")) is not None:
        return volume_folders.host_path(source)
    group = pod.security.get("fsGroup")
    plugin = next(kind for kind in _PLUGINS if kind in volume)
    path: Path = folder(context.pods, pod.uid) / _FOLDER / _PLUGINS[plugin] / volume["name"]
    if plugin == "emptyDir":
        volume_folders.empty_dir(path, pod, volume["emptyDir"] or {}, node_memory_bytes=context.node.memory_bytes, group=group)
    else:
        files = volume_files.of(pod, volume, context)
        if plugin in _IN_MEMORY:
            _keep_in_memory(path, size_bytes=context.node.memory_bytes)
        payload.write(path, files, group=group, mode=_shared(group))
    return path


def _shared(group: int | None) -> payload.Mode:
    """How the modes of a volume's files and folders follow from what its source says: to a group they are readable."""
    if group is None:
        return payload.as_given
    return lambda mode, folder: volume_ownership.shared_mode(mode, folder=folder, readonly=True)


def _keep_in_memory(path: Path, *, size_bytes: int) -> None:
    """A tmpfs that is never swapped out, as long as the kernel can promise that."""
    path.mkdir(parents=True, exist_ok=True)
    if not path.is_mount():
        mounts.tmpfs(path, size_bytes=size_bytes, mode=0o1777, flags=0, swap=False)

"""A Pod's volumes on this machine: folders made before its containers start, removed when the Pod is gone.

The layout is the kubelet's: ``pods/<uid>/volumes/kubernetes.io~<plugin>/<name>``. ConfigMaps, Secrets and the downward API are
written through ``payload``, so a reader sees all of the old files or all of the new ones. Called in a thread; blocks on the disk.
Source: kubelet pkg/volume/{emptydir,hostpath,configmap,secret,downwardapi,projected}.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from podspace.kube.json import JSON
from podspace.linux import mounts, trees
from podspace.node import environment, fieldpath, payload, resources
from podspace.node.environment import ConfigError
from podspace.node.pod import Pod, PodUid

HOST_PATH_CHECKS = {
    "Directory": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeContext:
    """What filling a volume may look at."""

    pods: Path
    lookup: environment.Lookup
    node: fieldpath.NodeFacts
    pod_ips: tuple[str, ...]


def folder(pods: Path, uid: PodUid) -> Path:
    """Everything podspace keeps on disk for one Pod."""
    return pods / uid


def prepare(pod: Pod, context: VolumeContext) -> dict[str, Path]:
    """Make every volume of the Pod and return name -> host path. Idempotent.

    Raises: ConfigError for a missing ConfigMap, Secret or key, or a host path of the wrong type.
    """
    made = {}
    for volume in pod.spec.get("volumes") or ():
        try:
            made[volume["name"]] = _prepare(pod, volume, context)
        except (ConfigError, OSError) as error:
            raise ConfigError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
    return made


def remove(pods: Path, uid: PodUid) -> None:
    """Unmount and delete all of a Pod's volumes. Idempotent."""
    home = folder(pods, uid)
    mounts.unmount_below(home)  # tmpfs of ours, and what a container with Bidirectional propagation left
    trees.remove_quietly(home)


def _prepare(pod: Pod, volume: JSON, context: VolumeContext) -> Path:
    name: str = volume["name"]
    if (source := volume.get("hostPath")) is not None:
        return _host_path(source)
    plugin = next(field for field in ("emptyDir", "configMap", "secret", "downwardAPI", "projected") if field in volume)
    path: Path = folder(context.pods, pod.uid) / "volumes" / _PLUGINS[plugin] / name
    if plugin == "emptyDir":
        _empty_dir(path, volume["emptyDir"] or {})
        return path
    source = volume[plugin]
    files = _files(pod, plugin, source, context)
    payload.write(path, files)
    return path


_PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}


def _empty_dir(path: Path, source: JSON) -> None:
    if not path.exists():  # later its mode is the containers' own affair
        fresh = path.with_name(f"{path.name}.new")
        fresh.mkdir(parents=True, exist_ok=True)
        os.chmod(fresh, 0o777)  # whatever the umask was
        fresh.rename(path)
    if source.get("medium") == "Memory" and not path.is_mount():
        limit = resources.bytes_of(source.get("sizeLimit"))
        mounts.tmpfs(path, size_bytes=limit, mode=0o777)


def _host_path(source: JSON) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif check := HOST_PATH_CHECKS.get(kind):
        try:
            matches = check(path.stat().st_mode)
        except OSError:
            matches = False
        if not matches:
            raise ConfigError(f"hostPath type check failed: {path} is not a {_kind_name(kind)}")
    elif not path.exists():
        path.mkdir(mode=0o755, parents=True)
    return path


def _kind_name(kind: str) -> str:
    return {
        "Directory": "directory",
        "File": "file",
        "Socket": "socket file",
        "CharDevice": "character device",
        "BlockDevice": "block device",
    }[kind]


def _files(pod: Pod, plugin: str, source: JSON, context: VolumeContext) -> dict[str, payload.File]:
    mode = source.get("defaultMode", 0o644)
    if plugin == "projected":
        files: dict[str, payload.File] = {}
        for part in source.get("sources") or ():
            for inner in ("configMap", "secret", "downwardAPI"):
                if inner in part:
                    files.update(_source_files(pod, inner, part[inner], mode, context))
        return files
    return _source_files(pod, plugin, source, mode, context)


def _source_files(pod: Pod, kind: str, source: JSON, mode: int, context: VolumeContext) -> dict[str, payload.File]:
    if kind == "downwardAPI":
        return {item["path"]: _downward(pod, item, mode, context) for item in source.get("items") or ()}
    resource = "configmaps" if kind == "configMap" else "secrets"
    name = source.get("secretName") or source.get("name") or ""
    found = context.lookup(resource, pod.namespace, name)
    optional = bool(source.get("optional"))
    if found is None:
        if optional:
            return {}
        raise ConfigError(f'{resource.removesuffix("s")} "{name}" not found')
    data = environment.data_of(resource, found)
    items = source.get("items")
    if not items:
        return {key: payload.File(content, mode) for key, content in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = payload.File(data[item["key"]], item.get("mode", mode))
        elif not optional:
            words = "configmap references non-existent config key" if kind == "configMap" else "references non-existent secret key"
            raise ConfigError(f"{words}: {item['key']}")
    return files


def _downward(pod: Pod, item: JSON, mode: int, context: VolumeContext) -> payload.File:
    if field := item.get("fieldRef"):
        text = fieldpath.value(pod, field["fieldPath"], context.node, context.pod_ips)
    else:
        text = fieldpath.resource_value(pod, item["resourceFieldRef"], "", context.node)
    return payload.File(text.encode(), item.get("mode", mode))

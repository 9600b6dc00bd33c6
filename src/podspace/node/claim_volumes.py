"""Where on this machine a Pod's claim lies: the folder, file or device that its PersistentVolume names.

Called by ``volumes`` in a thread. A claim's words are the kubelet's; what a volume of a cluster would be is refused by name.
Source: kubelet volumemanager desired_state_of_world_populator.go; pkg/volume/{local,hostpath}.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NamedTuple

from podspace.kube import validation_storage
from podspace.kube.json import JSON
from podspace.node import claims, volume_folders
from podspace.node.claims import CLAIMS, VOLUMES, Use
from podspace.node.environment import ConfigError
from podspace.node.pod import Pod

GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"


class ClaimError(ConfigError):
    """The claim, and not what it leads to, is in the way."""


class Found(NamedTuple):
    """``shareable``: whether a Pod's fsGroup is applied to it, as the kubelet does for local volumes and not for paths of the host.
    ``group``: whose members may use the volume, as its PersistentVolume says; every container of the Pod becomes one."""

    path: Path
    block: bool
    shareable: bool
    group: int | None = None


def find(pod: Pod, use: Use, lookup: claims.Lookup) -> Found:
    """Raises: ConfigError, OSError."""
    volume = _bound(pod, use, lookup)
    block = volume["spec"].get("volumeMode") == "Block"
    _check_uses(pod, use, block=block)
    node = lookup("nodes", "", str(pod.spec.get("nodeName") or ""))
    name = volume["metadata"]["name"]
    if not claims.is_reachable(volume, node):
        raise ConfigError(f'MountVolume.NodeAffinity check failed for volume "{name}" : no matching NodeSelectorTerms')
    if volume["spec"].get("mountOptions"):
        raise ConfigError(f"PersistentVolume {name}: Mount options are not supported for this volume type")
    return _located(volume, block=block)._replace(group=_group(volume))


def _group(volume: JSON) -> int | None:
    """Source: kubelet pkg/kubelet/volumemanager, pkg/volume/util VolumeGidAnnotationKey; what is no number is nobody's."""
    text = str((volume["metadata"].get("annotations") or {}).get(GROUP_ANNOTATION) or "")
    return int(text) if text.isascii() and text.isdigit() else None


def _bound(pod: Pod, use: Use, lookup: claims.Lookup) -> JSON:
    """The volume of a claim that may be used."""
    claim = lookup(CLAIMS, pod.namespace, use.claim)
    if claim is None:
        raise _failed(pod, use, f'failed to fetch PVC from API server: persistentvolumeclaims "{use.claim}" not found')
    if use.ephemeral and not claims.is_owned(claim, pod.raw):
        raise _failed(pod, use, claims.not_owned(claim, pod.raw))
    if not claims.is_bound(claim):
        raise _failed(pod, use, "PVC is not bound")
    name = claim["spec"]["volumeName"]
    volume = lookup(VOLUMES, "", name)
    if volume is None:
        raise _failed(pod, use, f'failed to fetch PV {name} from API server: persistentvolumes "{name}" not found')
    if not claims.is_for(volume, claim):
        raise _failed(pod, use, f"PV {name} is not bound to this claim")
    return volume


def _failed(pod: Pod, use: Use, why: str) -> ClaimError:
    return ClaimError(
        f"Unable to attach or mount volumes: unmounted volumes=[{use.volume}], unattached volumes=[], "
        f"failed to process volumes=[{use.volume}]: error processing PVC {pod.namespace}/{use.claim}: {why}"
    )


def _check_uses(pod: Pod, use: Use, *, block: bool) -> None:
    """A file system is mounted, a device is given: never the other way round."""
    field = "volumeMounts" if block else "volumeDevices"
    if any(item["name"] == use.volume for container in pod.every_container() for item in container.raw.get(field) or ()):
        mode = "Block" if block else "Filesystem"
        raise _failed(pod, use, f"volume {use.volume} has volumeMode {mode}, but is specified in {field}")


def _located(volume: JSON, *, block: bool) -> Found:
    spec, name = volume["spec"], volume["metadata"]["name"]
    kind = validation_storage.sources_of(spec)[0]
    if kind == "local":
        path = Path(spec["local"]["path"])
        if not path.exists():
            raise ConfigError(f'path "{path}" does not exist')
    elif kind == "hostPath" and not block:
        return Found(volume_folders.host_path(spec["hostPath"]), block=False, shareable=False)
    else:
        what = (
            "a hostPath, which is no block device" if block and kind == "hostPath" else f"of kind {kind}, which needs a cluster's storage"
        )
        raise ConfigError(f"PersistentVolume {name} is {what}")
    is_device = stat.S_ISBLK(path.stat().st_mode)
    if is_device and not block:
        raise ConfigError(
            f"PersistentVolume {name}: {path} is a block device; file systems are not made on it: mount one and name its folder"
        )
    if block and not is_device:
        raise ConfigError(f"PersistentVolume {name}: {path} is not a block device")
    return Found(path, block=block, shareable=not block and path.is_dir())

"""A container's root: an overlay over its image's layers, and what is read from it before the container starts.

Blocking; called in a thread by ``container_create``, and by ``container_stop`` to take it down.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from podspace import errors
from podspace.linux import idmap, inroot, mounts
from podspace.oci import users
from podspace.runtime import layout, model, userns


def mount(layers: Sequence[Path], snapshot: Path, target: Path, within: userns.Within) -> None:
    """Mount the overlay; ``snapshot`` gets upper and work. What is written is on disk as the host sees it, also in a user namespace."""
    upper, work, empty = snapshot / "upper", snapshot / "work", snapshot / "empty"
    for folder in (upper, work, empty, target):
        folder.mkdir(parents=True, exist_ok=True)
    lower = layers or (empty,)  # an overlay needs one
    top = lower[-1].stat()  # the root folder's own mode and owner are those of upper, not of the image
    upper.chmod(stat.S_IMODE(top.st_mode))
    if within.id_map is not None:
        os.chown(upper, *within.id_map.owner(top.st_uid, top.st_gid))
    with idmap.layers(lower, snapshot / "tmp", within.fd) as shown:
        mounts.overlay(target, layers=shown, upper=upper, work=work)


def unmount(snapshot: Path, folder: Path) -> None:
    """Unmount all that is mounted in the container's ``folder`` and delete what it wrote. Idempotent.

    A server that was killed may have left an image's layers mounted in ``snapshot``: never delete through those.
    """
    mounts.unmount_below(folder, snapshot)
    layout.remove_tree(snapshot)


def user(rootfs: Path, config: model.ContainerConfig, image_user: str) -> users.User:
    """Whom the container runs as. Raises: FailedPrecondition."""
    security = config.security
    try:
        found = users.resolve(
            passwd=inroot.read_text(rootfs, "/etc/passwd"),
            group=inroot.read_text(rootfs, "/etc/group"),
            user=security.user or image_user,
            uid=security.uid,
            gid=security.gid,
            supplemental=security.supplemental_groups,
            merge_image_groups=security.supplemental_groups_policy != "Strict",
        )
    except users.UnknownUser as error:
        raise errors.FailedPrecondition(f"container {config.name}: {error}") from error
    if security.run_as_non_root and found.uid == 0:
        raise errors.FailedPrecondition(f"container {config.name} has runAsNonRoot and image will run as root")
    return found

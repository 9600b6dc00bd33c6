"""A container's root: an overlay over its image's layers, and what is read from it before the container starts.

Blocking; called in a thread by ``container_create``, and by ``container_stop`` to take it down.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from podspace import errors
from podspace.linux import inroot, mounts
from podspace.oci import users
from podspace.runtime import layout, model


def mount(layers: Sequence[Path], snapshot: Path, target: Path) -> None:
    """Mount the overlay; ``snapshot`` gets upper and work."""
    upper, work, empty = snapshot / "upper", snapshot / "work", snapshot / "empty"
    for folder in (upper, work, empty, target):
        folder.mkdir(parents=True, exist_ok=True)
    lower = layers or (empty,)  # an overlay needs one
    upper.chmod(stat.S_IMODE(lower[-1].stat().st_mode))  # the root folder's own mode is that of upper, not of the image
    mounts.overlay(target, layers=lower, upper=upper, work=work)


def unmount(snapshot: Path, folder: Path) -> None:
    """Unmount all that is mounted in the container's ``folder`` and delete what it wrote. Idempotent."""
    mounts.unmount_below(folder)
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

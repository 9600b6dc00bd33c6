"""What an image holds, mounted into a container beside its root: read-only, and never the image's own files to write to.

An overlay of the image's layers in the container's folder, bound into it by the OCI runtime like any other source; it goes with the
container. Blocking; called in a thread by ``container_create``.
Source: KEP-4639 (OCI volume source); cri-api api.proto Mount.image, image_sub_path.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from podspace import errors
from podspace.linux import idmap, inroot, mounts
from podspace.runtime import model, ports


def find(images: ports.Images, name: str) -> ports.Image:
    """Raises: NotFound."""
    image = images.find(name)
    if image is None:
        raise errors.NotFound(f"image {name} is not present", resource="images", name=name)
    return image


def used(configs: Iterable[model.ContainerConfig]) -> frozenset[str]:
    """Ids of the images these containers are made of."""
    return frozenset(image for config in configs for image in (config.image, *(mount.image for mount in config.mounts)) if image)


def prepare(images: ports.Images, wanted: Sequence[model.Mount], folder: Path, userns_fd: int | None) -> tuple[model.Mount, ...]:
    """Mount the images among ``wanted`` below ``folder``; return all of them, as bind mounts of host paths.

    Undone by unmounting what is mounted there. Raises: NotFound (image), FailedPrecondition (no such folder in it), OSError.
    """
    roots: dict[str, Path] = {}
    for mount in wanted:
        if mount.image and mount.image not in roots:
            roots[mount.image] = _mounted(find(images, mount.image), folder / str(len(roots)), userns_fd)
    return tuple(_bound(mount, roots[mount.image]) if mount.image else mount for mount in wanted)


def _mounted(image: ports.Image, place: Path, userns_fd: int | None) -> Path:
    target, *empty = place / "root", place / "below", place / "above"
    for made in (target, *empty):
        made.mkdir(parents=True, exist_ok=True)
    below, above = empty
    with idmap.layers((below, *(image.layers or (above,))), place / "tmp", userns_fd) as layers:
        mounts.overlay_readonly(target, layers=layers)
    return target


def _bound(mount: model.Mount, root: Path) -> model.Mount:
    return dataclasses.replace(
        mount, source=_inside(mount, root), readonly=True, recursive_readonly=False, propagation="private", id_map=None, image=""
    )


def _inside(mount: model.Mount, root: Path) -> Path:
    """The folder of the sub path; symlinks of the image lead nowhere else. Nothing in there changes: what was looked up stays so."""
    if not mount.image_sub_path:
        return root
    try:
        fd = inroot.open_fd(root, mount.image_sub_path, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        why = "only a folder can be mounted" if error.errno == errno.ENOTDIR else os.strerror(error.errno or 0)
        raise errors.FailedPrecondition(
            f'mount {mount.destination}: subpath "{mount.image_sub_path}" of image {mount.image_reference or mount.image}: {why}'
        ) from error
    try:
        return Path(os.readlink(f"/proc/self/fd/{fd}"))
    finally:
        os.close(fd)

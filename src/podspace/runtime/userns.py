"""Sandboxes with a user namespace of their own: whether this machine can, and files and mounts with the ids such a namespace sees.

Root in such a sandbox is nobody on the host. The sandbox's /pause owns the namespace and through it all other namespaces of the sandbox;
containers join it. Their roots are overlays of idmapped layers and their volumes idmapped mounts, both made here by system call, so that
every OCI runtime will do, whatever it knows of such mounts. Called by ``sandbox_run`` and ``container_create``.
Source: KEP-127; user_namespaces(7); mount_setattr(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from podspace import errors
from podspace.linux import idmap, mounts
from podspace.oci import users
from podspace.runtime import layout, model, world

_TRIAL = idmap.IdMap(uids=(idmap.Range(inside=0, outside=65536, length=65536),), gids=(idmap.Range(inside=0, outside=65536, length=65536),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """The user namespace of a sandbox, held open: none of its own means the host's."""

    id_map: idmap.IdMap | None = None
    fd: int | None = None


@contextlib.contextmanager
def within(id_map: idmap.IdMap | None, pause_pid: int) -> Iterator[Within]:
    """Open it by the sandbox's /pause. Raises: OSError."""
    if id_map is None:
        yield Within()
        return
    fd = os.open(f"/proc/{pause_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Within(id_map=id_map, fd=fd)
    finally:
        os.close(fd)


async def check(here: world.World) -> None:
    """Raises: Unsupported, with what is missing."""
    trouble = await missing(here)
    if trouble:
        raise errors.Unsupported(f"no user namespace for the sandbox: {trouble}; use the host's (hostUsers: true)")


async def missing(here: world.World) -> str:
    """What this machine lacks for user namespaces, "" if nothing. Not tried again once it has been there."""
    trouble = "" if here.userns_tried else await asyncio.to_thread(_try, here)
    here.userns_tried = not trouble
    return trouble


def _try(here: world.World) -> str:
    images, snapshots = here.settings.paths.images, here.layout.snapshots
    images.mkdir(parents=True, exist_ok=True)
    return trial(here.layout.containers, here.layout.scratch, (images, snapshots))


def trial(way: Path, scratch: Path, layers: Sequence[Path]) -> str:
    """Try it: what is missing, "" if nothing. ``way``: the folder containers' roots are in; ``layers``: two on the images' file system."""
    closed = closed_to_others(way)
    if closed is not None:
        return f"{closed} lets nobody but its owner pass, and a Pod's root is somebody else; chmod o+x {closed}"
    try:
        with idmap.namespace(_TRIAL) as fd:
            return _try_overlay(scratch, layers, fd)
    except OSError as error:
        return f"the kernel makes none ({error.filename}: {error.strerror})"


def _try_overlay(scratch: Path, layers: Sequence[Path], fd: int) -> str:
    """The same as a container's root."""
    target, attached = scratch / "userns-trial", scratch / "userns-layers"
    mounts.unmount_below(target, attached)  # of a server that was killed at it
    target.mkdir(exist_ok=True)
    try:
        with idmap.layers(layers, attached, fd) as mapped:
            mounts.overlay_readonly(target, layers=mapped)
        mounts.unmount(target)
    except OSError as error:
        kind = mounts.fstype(layers[0])
        return f"no overlay of layers on {layers[0]} ({kind}) can have other ids: {error.strerror}; Linux 5.19 can, on ext4, xfs and btrfs"
    finally:
        layout.remove_tree(target)
        layout.remove_tree(attached)
    return ""


def closed_to_others(folder: Path) -> Path | None:
    """The uppermost folder on the way that only its owner and group may pass. None: anybody gets there."""
    way = [*reversed(folder.parents), folder]
    return next((place for place in way if not place.stat().st_mode & 0o001), None)


def prepare(wanted: Sequence[model.Mount], folder: Path, here: Within) -> tuple[model.Mount, ...]:
    """Attach what must be shown with other ids below ``folder``; return all mounts, as plain bind mounts.

    In a user namespace that is every one: its root may not pass the host's folders on the way to a volume. Undone by ``release``.
    Raises: FailedPrecondition, Unsupported (the file system cannot), OSError.
    """
    found = [
        _attached(mount, folder / str(number), here) if mount.id_map or here.fd is not None else mount
        for number, mount in enumerate(wanted)
    ]
    return tuple(found) if here.fd is None else (*found, *_below(found, folder))


def release(folder: Path) -> None:
    """Take away what ``prepare`` attached, once the container has it: the host may want to unmount what is behind it. Idempotent."""
    for name in layout.names(folder):
        mounts.detach(folder / name)


def _below(attached: Sequence[model.Mount], folder: Path) -> Iterator[model.Mount]:
    """What is mounted below each: crun before 1.9 binds in a user namespace what it is told of, and nothing that is mounted in it."""
    places = [Path(place) for place in reversed(mounts.below(folder))]
    for mount in attached:
        for place in places:
            if mount.source in place.parents:
                destination = f"{mount.destination.rstrip('/')}/{place.relative_to(mount.source)}"
                yield dataclasses.replace(mount, source=place, destination=destination)


def _attached(mount: model.Mount, target: Path, here: Within) -> model.Mount:
    source = mount.source.resolve(strict=True)
    target.parent.mkdir(exist_ok=True, mode=0o711)
    if source.is_dir():
        target.mkdir(mode=0o711)
    else:
        target.touch(0o600)
    with _namespace(mount.id_map, here) as fd:
        try:
            idmap.attach(source, target, fd, _access(mount), follow=mount.propagation == "rslave")
        except OSError as error:
            if fd is None:
                raise
            kind = mounts.fstype(source)
            raise errors.Unsupported(
                f"mount {mount.destination}: {source} ({kind}) cannot be shown with the ids of a user namespace: {error.strerror}; "
                "use another file system, or the host's user namespace (hostUsers: true)"
            ) from error
    if here.fd is None:
        return dataclasses.replace(mount, source=target, id_map=None)
    return dataclasses.replace(mount, source=target, id_map=None, readonly=False, recursive_readonly=False)


def _access(mount: model.Mount) -> idmap.Access:
    """Made read-only here: a remount in a user namespace must repeat all flags of a mount from outside, which runc 1.1 does not."""
    if not mount.readonly:
        return idmap.Access.READ_WRITE
    return idmap.Access.ALL_READ_ONLY if mount.recursive_readonly else idmap.Access.READ_ONLY


@contextlib.contextmanager
def _namespace(wanted: idmap.IdMap | None, here: Within) -> Iterator[int | None]:
    if wanted is None or wanted == here.id_map:
        yield here.fd if wanted is not None else None
        return
    with idmap.namespace(wanted) as fd:
        yield fd


def check_user(name: str, user: users.User, id_map: idmap.IdMap | None) -> None:
    """Raises: FailedPrecondition when the namespace does not have such ids."""
    if id_map is None:
        return
    for kind, ranges, numbers in (("uid", id_map.uids, (user.uid,)), ("gid", id_map.gids, (user.gid, *user.groups))):
        for number in numbers:
            if not any(entry.inside <= number < entry.inside + entry.length for entry in ranges):
                raise errors.FailedPrecondition(f"container {name}: {kind} {number} is not in the Pod's user namespace")

"""Whether a mount can be handed on as asked: what is not shared on the host stays unseen, and nobody would be told.

Called by ``container_create``. Source: mount_namespaces(7); containerd's checks and words.
"""

from __future__ import annotations

from collections.abc import Sequence

from podspace import errors
from podspace.linux import mounts
from podspace.runtime import model

_NEEDS = {"rshared": (("shared:",), "a shared mount"), "rslave": (("shared:", "master:"), "a shared or slave mount")}


def check(wanted: Sequence[model.Mount], *, mapped: bool) -> None:
    """``mapped``: in a user namespace. Raises: FailedPrecondition. Reads the mount table only if there is something to check."""
    asked = [mount for mount in wanted if mount.propagation in _NEEDS]
    table = mounts.table() if asked else []
    for mount in asked:
        if mapped and mount.propagation == "rshared":
            words = "what is mounted in a user namespace does not reach the host, so it cannot be bidirectional"
            raise errors.FailedPrecondition(f"mount {mount.destination}: {words}")
        marks, words = _NEEDS[mount.propagation]
        place = mounts.holding(mount.source.resolve(), table)
        if place is not None and not any(mark.startswith(marks) for mark in place.propagation):
            raise errors.FailedPrecondition(
                f'mount {mount.destination}: path "{mount.source}" is mounted on "{place.target}" but it is not {words}; '
                f"mount --make-shared {place.target}"
            )

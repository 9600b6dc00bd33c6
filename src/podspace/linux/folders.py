"""Following a folder that may come, go and be replaced: the folder itself while it is there, else the nearest one above it that is.

Called by ``network`` for the configurations of CNI. Source: inotify(7).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from podspace.linux import inotify

_INSIDE = inotify.IN_CLOSE_WRITE | inotify.IN_MOVED_FROM | inotify.IN_MOVED_TO | inotify.IN_DELETE | inotify.IN_CREATE
_ITSELF = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF
_COMING = inotify.IN_CREATE | inotify.IN_MOVED_TO


async def follow(folder: Path) -> AsyncIterator[None]:
    """Yield once at the start, then whenever what is in the folder may have changed. Raises: OSError (no more watches to be had)."""
    while True:
        with inotify.Inotify() as notes:
            nearest = _watch(notes, folder)
            yield
            if nearest == folder:
                while not any(change.mask & (_ITSELF | inotify.IN_IGNORED) for change in await notes.read()):
                    yield
            else:
                while _nearest(folder) == nearest:  # as soon as it is another, the watch belongs elsewhere
                    await notes.read()


def _watch(notes: inotify.Inotify, folder: Path) -> Path:
    """Watch the folder, or what is nearest to it; return which."""
    while True:
        nearest = _nearest(folder)
        try:
            notes.add(nearest, _INSIDE | _ITSELF if nearest == folder else _COMING | _ITSELF)
        except FileNotFoundError:  # it went in between
            continue
        if _nearest(folder) == nearest:
            return nearest


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())

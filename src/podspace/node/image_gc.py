"""Images that no container uses go when the disk fills up, those first that have not been used for the longest time.

A service of the node. It looks every five minutes, as a kubelet does; what is younger than two minutes stays, since a Pod may be about to
use it. Source: kubelet pkg/kubelet/images/image_gc_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from podspace import errors
from podspace.image.model import Image
from podspace.kube.json import JSON
from podspace.settings import Housekeeping

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Of the file system that images are on."""

    total_bytes: int
    available_bytes: int

    @property
    def used_percent(self) -> int:
        return 100 - self.available_bytes * 100 // max(self.total_bytes, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When an image was first seen here, and last used by a container (monotonic)."""

    first: float
    last_used: float = 0.0


class Users(Protocol):
    """Who knows what is used: the engine."""

    def images_in_use(self) -> frozenset[str]: ...


class Teller(Protocol):
    """Who tells of it: the recorder of events."""

    def warning(self, obj: JSON, reason: str, message: str, *, field_path: str = "") -> None: ...


class Store(Protocol):
    """What is done with images."""

    def list(self) -> list[Image]: ...

    async def remove(self, name: str, *, in_use: Collection[str] = ()) -> tuple[str, ...]: ...


def disk_of(folder: Path) -> Disk:
    found = os.statvfs(folder)
    return Disk(total_bytes=found.f_blocks * found.f_frsize, available_bytes=found.f_bavail * found.f_frsize)


def too_much(disk: Disk, wanted: Housekeeping) -> int:
    """Bytes to free; 0 as long as the high threshold is not passed. Pure."""
    if wanted.image_gc_high_percent >= 100 or disk.used_percent < wanted.image_gc_high_percent:
        return 0
    return max(0, disk.total_bytes * (100 - wanted.image_gc_low_percent) // 100 - disk.available_bytes)


def candidates(images: Iterable[Image], seen: dict[str, Seen], in_use: Collection[str], *, now: float, min_age: float) -> list[Image]:
    """Images that may go, in this order. Pure."""
    idle = [image for image in images if image.id not in in_use and now - seen[image.id].first >= min_age]
    return sorted(idle, key=lambda image: (seen[image.id].last_used, seen[image.id].first))


class ImageGarbage:
    """Remembers when images were used, and frees the disk of the others."""

    def __init__(self, engine: Users, images: Store, recorder: Teller, wanted: Housekeeping, *, folder: Path, node_name: str) -> None:
        """``folder``: where images are; ``node_name``: of the Node that events are about."""
        self._engine = engine
        self._images = images
        self._recorder = recorder
        self._wanted = wanted
        self._folder = folder
        metadata = {"name": node_name, "uid": node_name}  # a kubelet knows no other uid of itself either
        self._node: JSON = {"kind": "Node", "apiVersion": "v1", "metadata": metadata}
        self._seen: dict[str, Seen] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.collect()
            except (errors.PodspaceError, OSError) as error:
                log.warning("collecting unused images: %s", error)
            await asyncio.sleep(self._wanted.image_gc_check_seconds)

    async def collect(self) -> None:
        """One look. Raises: OSError."""
        now = time.monotonic()
        images = await asyncio.to_thread(self._images.list)
        in_use = self._engine.images_in_use()
        known = {image.id: self._seen.get(image.id, Seen(first=now)) for image in images}
        self._seen = {identifier: Seen(first=s.first, last_used=now) if identifier in in_use else s for identifier, s in known.items()}
        disk = disk_of(self._folder)
        if wanted := too_much(disk, self._wanted):
            await self._free(candidates(images, self._seen, in_use, now=now, min_age=self._wanted.image_min_age_seconds), wanted, disk)

    async def _free(self, images: list[Image], wanted_bytes: int, before: Disk) -> None:
        """What is freed is what the file system says: images share layers."""
        log.info("the disk of images is %d %% full: freeing %d bytes", before.used_percent, wanted_bytes)
        freed = 0
        for image in images:
            if freed >= wanted_bytes:
                return
            try:
                await self._images.remove(image.id, in_use=self._engine.images_in_use())
            except errors.PodspaceError as error:  # it is used after all, or somebody was quicker
                log.info("image %s stays: %s", image.id, error)
            freed = disk_of(self._folder).available_bytes - before.available_bytes
        if freed < wanted_bytes:
            words = f"Attempted to free {wanted_bytes} bytes, but only found {max(0, freed)} bytes eligible to free."
            self._recorder.warning(self._node, "FreeDiskSpaceFailed", f"Failed to garbage collect required amount of images. {words}")

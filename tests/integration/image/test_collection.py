"""Images that nobody uses, collected from a disk that is really full: a small tmpfs."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace.image.service import Images
from podspace.kube.json import JSON
from podspace.linux import mounts
from podspace.node import image_gc
from podspace.settings import Housekeeping, Paths, Settings
from tools import images as made_images

pytestmark = pytest.mark.root

SIZE_BYTES = 64 << 20
WANTED = Housekeeping(image_gc_high_percent=60, image_gc_low_percent=40, image_min_age_seconds=0.0)


class Engine:
    """Containers stand on these images."""

    def __init__(self, *used: str) -> None:
        self._used = frozenset(used)

    def images_in_use(self) -> frozenset[str]:
        return self._used


class Told:
    """The events."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warning(self, obj: JSON, reason: str, message: str, *, field_path: str = "") -> None:
        self.messages.append(f"{obj['kind']} {reason}: {message}")


@pytest.fixture
def disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ps-disk-", dir="/tmp"))
    mounts.tmpfs(folder, size_bytes=SIZE_BYTES)
    yield folder
    mounts.unmount(folder)
    folder.rmdir()


@pytest.fixture
def images(disk: Path) -> Images:
    found = Images(Settings(paths=Paths.under(disk)))
    asyncio.run(found.load(made_images.layout()))
    return found


def filled(disk: Path, percent: int) -> None:
    """Something else takes the disk up to there."""
    state = image_gc.disk_of(disk)
    taken = max(0, state.total_bytes * percent // 100 - (state.total_bytes - state.available_bytes))
    (disk / "something else").write_bytes(bytes(taken))


def collected(images: Images, disk: Path, engine: Engine, wanted: Housekeeping = WANTED) -> Told:
    told = Told()
    garbage = image_gc.ImageGarbage(engine, images, told, wanted, folder=disk, node_name="here")
    asyncio.run(garbage.collect())
    return told


def test_below_the_high_threshold_every_image_stays(images: Images, disk: Path) -> None:
    before = len(images.list())
    state = image_gc.disk_of(disk)
    higher = dataclasses.replace(WANTED, image_gc_high_percent=state.used_percent + 1)
    assert collected(images, disk, Engine(), higher).messages == []
    assert len(images.list()) == before


def test_above_it_unused_images_go_and_the_disk_is_free_again(images: Images, disk: Path) -> None:
    busybox = images.find("busybox:1.28")
    assert busybox is not None
    filled(disk, 70)
    before = images.list()
    lower = dataclasses.replace(WANTED, image_gc_low_percent=65)
    assert collected(images, disk, Engine(busybox.id), lower).messages == []
    assert image_gc.disk_of(disk).used_percent <= 65
    assert 0 < len(images.list()) < len(before)
    assert images.find("busybox:1.28") == busybox
    assert (busybox.layers[0] / "bin/busybox").exists()


def test_where_all_are_used_nothing_goes_and_the_node_is_told(images: Images, disk: Path) -> None:
    everything = images.list()
    filled(disk, 90)
    told = collected(images, disk, Engine(*(image.id for image in everything)))
    assert sorted(image.id for image in images.list()) == sorted(image.id for image in everything)
    (message,) = told.messages
    assert message.startswith("Node FreeDiskSpaceFailed: Failed to garbage collect required amount of images. Attempted to free ")
    assert message.endswith(" bytes, but only found 0 bytes eligible to free.")

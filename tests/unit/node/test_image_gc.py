"""Which images go when the disk is full, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest

from podspace.image.model import Image, ImageConfig
from podspace.node import image_gc
from podspace.node.image_gc import Disk, Seen
from podspace.settings import Housekeeping

GIB = 1 << 30
WANTED = Housekeeping(image_gc_high_percent=85, image_gc_low_percent=80, image_min_age_seconds=0)


def image(name: str) -> Image:
    return Image(id=name, size_bytes=GIB, config=ImageConfig(), layers=())


@pytest.mark.parametrize(("available", "high", "free"), [(50, 85, 0), (16, 85, 0), (15, 85, 5), (3, 85, 17), (3, 100, 0)])
def test_as_much_goes_as_leads_to_the_low_threshold(available: int, high: int, free: int) -> None:
    disk = Disk(total_bytes=100 * GIB, available_bytes=available * GIB)
    wanted = Housekeeping(image_gc_high_percent=high, image_gc_low_percent=80)
    assert image_gc.too_much(disk, wanted) == free * GIB


def test_those_go_first_that_were_used_longest_ago_and_none_that_is_used_or_new() -> None:
    seen = {
        "old": Seen(first=0, last_used=10),
        "never": Seen(first=5),
        "older": Seen(first=0, last_used=5),
        "used": Seen(first=0, last_used=100),
        "new": Seen(first=99),
    }
    found = image_gc.candidates(map(image, seen), seen, {"used"}, now=100, min_age=60)
    assert [one.id for one in found] == ["never", "older", "old"]


class Machine:
    """Images of a gibibyte each on a disk of a hundred; at once the engine, the image store and the recorder."""

    def __init__(self, *names: str, used: Collection[str] = (), available: int) -> None:
        self.names = list(names)
        self.used = frozenset(used)
        self.available = available * GIB
        self.told: list[str] = []

    def images_in_use(self) -> frozenset[str]:
        return self.used

    def list(self) -> list[Image]:
        return [image(name) for name in self.names]

    async def remove(self, name: str, *, in_use: Collection[str] = ()) -> tuple[str, ...]:
        assert name not in in_use
        self.names.remove(name)
        self.available += GIB
        return (name,)

    def warning(self, obj: object, reason: str, message: str, *, field_path: str = "") -> None:
        self.told.append(f"{reason}: {message}")


def collected(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(image_gc, "disk_of", lambda _: Disk(total_bytes=100 * GIB, available_bytes=machine.available))
    garbage = image_gc.ImageGarbage(machine, machine, machine, WANTED, folder=Path("/nonexistent"), node_name="n")
    asyncio.run(garbage.collect())
    return machine


def test_no_more_goes_than_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = collected(Machine("a", "b", "c", "d", "e", "f", used="a", available=15), monkeypatch)
    assert machine.available == 20 * GIB
    assert "a" in machine.names
    assert machine.told == []
    assert collected(Machine("a", available=30), monkeypatch).names == ["a"]


def test_what_could_not_be_freed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = collected(Machine("a", "b", used="a", available=15), monkeypatch)
    assert machine.names == ["a"]
    words = f"Attempted to free {5 * GIB} bytes, but only found {GIB} bytes eligible to free."
    assert machine.told == [f"FreeDiskSpaceFailed: Failed to garbage collect required amount of images. {words}"]

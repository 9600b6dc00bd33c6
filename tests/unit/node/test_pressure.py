"""When a machine has too little of something."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import pressure

PLENTY: dict[str, Any] = {"memory_bytes": 1 << 30, "disk_percent": 50, "inodes_percent": 50, "image_disk_percent": 50}


@pytest.mark.parametrize(
    ("less", "lacking"),
    [
        ({}, []),
        ({"memory_bytes": 99 << 20}, ["KubeletHasInsufficientMemory"]),
        ({"disk_percent": 9}, ["KubeletHasDiskPressure"]),
        ({"inodes_percent": 4}, ["KubeletHasDiskPressure"]),
        ({"image_disk_percent": 14}, ["KubeletHasDiskPressure"]),
    ],
)
def test_conditions_are_a_kubelets(less: dict[str, int], lacking: list[str]) -> None:
    told = pressure.conditions(pressure.Room(**PLENTY | less))
    assert [kind for kind, *_ in told] == ["MemoryPressure", "DiskPressure"]
    assert [reason for _, status, reason, _ in told if status == "True"] == lacking


def test_memory_is_what_the_kernel_says_can_be_had() -> None:
    assert pressure.available_memory_bytes("MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n") == 2 << 20

"""Events are dropped when nobody has seen them again for an hour, whoever made them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from podspace.kube import times
from podspace.node import recorder
from podspace.store.store import Store

NOW = 1_780_000_000.0


def ago(minutes: float) -> str:
    return times.rfc3339(NOW - minutes * 60)


@pytest.mark.parametrize(
    ("created", "fields", "kept"),
    [
        (10, {}, True),
        (70, {}, False),
        (70, {"lastTimestamp": ago(50)}, True),
        (10, {"lastTimestamp": ago(5000)}, True),
        (70, {"lastTimestamp": None, "series": {"count": 2, "lastObservedTime": ago(5)}}, True),
        (70, {"series": {"count": 2, "lastObservedTime": ago(65)}}, False),
    ],
)
def test_an_event_lives_for_an_hour_after_its_last_sign(tmp_path: Path, created: float, fields: dict[str, Any], kept: bool) -> None:
    metadata = {"name": "e", "namespace": "n", "uid": "u", "creationTimestamp": ago(created)}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, **fields}

    async def scene() -> tuple[int, bool]:
        with Store.open(tmp_path / "store.db") as store:
            await store.create("events", event)
            dropped = await recorder.drop_old(store, now=NOW)
            return dropped, store.get("events", "n", "e") is not None

    assert asyncio.run(scene()) == (int(not kept), kept)

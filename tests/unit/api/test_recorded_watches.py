"""Streams recorded from a real API server (1.36): the same things done here must be told in the same events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from podspace.kube.json import JSON
from tests.unit.api.serving import Client, configmap, next_event, serving
from tests.unit.api.test_recorded_exchanges import FOLDER, WATCHED, masked, plant, unowned

N = "/api/v1/namespaces/wtest/configmaps"
STREAMS = (
    "watch-field-selector-name",
    "watch-from-rv",
    "watch-label-selector",
    "watch-list-sendinitialevents",
    "watch-partialobjectmetadata",
    "watch-rv-0",
    "watch-rv-unset",
    "watch-single-deprecated-path",
    "watch-table",
)


def cases() -> list[Any]:
    found = []
    for name in STREAMS:
        for number, exchange in enumerate(json.loads((FOLDER / f"{name}.json").read_text())["exchanges"]):
            if isinstance(exchange["answer"], list) and "type" in exchange["answer"][0]:
                found.append(pytest.param(exchange, id=f"{name}-{number}"))
    return found


async def what_was_done(client: Client) -> None:
    """A ConfigMap comes, changes, gets another label and goes."""
    await client.post(N, configmap("new", metadata={"labels": {"i": "1"}}, data={"a": "1"}))
    await client.patch(f"{N}/new", {"data": {"a": "2"}})
    await client.patch(f"{N}/new", {"metadata": {"labels": {"i": "9"}}})
    await client.delete(f"{N}/new")


def comparable(event: JSON) -> Any:
    """Without ages, and texts of columns that end a paragraph earlier here."""
    obj = event["object"]
    for row in obj.get("rows") or ():
        row["cells"] = row["cells"][:-1]
    for column in obj.get("columnDefinitions") or ():
        column["description"] = ""
    return masked(unowned(event))


@pytest.mark.parametrize("exchange", cases())
def test_a_stream_is_that_of_a_real_server(exchange: JSON) -> None:
    expected = exchange["answer"][:4]  # what was done was recorded several times over

    async def scene() -> None:
        async with serving() as client:
            for path, obj in WATCHED:
                await plant(client, path, obj, [])
            newest = (await client.get(N)).json["metadata"]["resourceVersion"]
            path = exchange["path"].replace("resourceVersion=1514", f"resourceVersion={newest}")
            headers = {key.replace("-", "_"): value for key, value in exchange.get("headers", {}).items()}
            async with client.watch(path, **headers) as events:
                if path != exchange["path"]:
                    await what_was_done(client)
                    await what_was_done(client)
                seen = [await next_event(events) for _ in expected]
            assert [comparable(event) for event in seen] == [comparable(event) for event in expected]

    asyncio.run(scene())

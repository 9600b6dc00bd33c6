"""Discovery of what is served here, entry by entry as a real API server (1.36) tells it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from podspace.kube.json import JSON
from tests.unit.api.serving import serving
from tests.unit.kube import observed

observed.needs_facts()
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
ABSENT = {  # (plural, subresource): why
    ("pods", "proxy"): "",
    ("nodes", "proxy"): "",
}


def recorded(path: str, accept: str = "") -> JSON:
    for name in observed.sample_names("discovery-*"):
        for exchange in observed.exchanges(name):
            request, body = exchange["request"], exchange["response"].get("body")
            if request["path"] == path and isinstance(body, dict) and accept in request["headers"].get("Accept", ""):
                return dict(body)
    raise AssertionError(f"{path} was not recorded")


def ours(path: str, accept: str) -> JSON:
    async def ask() -> JSON:
        async with serving() as client:
            answer = await client.get(path, Accept=accept)
            assert answer.status == 200, answer.text
            return dict(answer.json)

    return asyncio.run(ask())


def entries(document: JSON) -> dict[tuple[str, str, str], Any]:
    """(group, version, resource) -> entry of an aggregated document."""
    return {
        (group["metadata"].get("name", ""), version["version"], entry["resource"]): entry
        for group in document["items"]
        for version in group["versions"]
        for entry in version["resources"]
    }


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_every_entry_of_aggregated_discovery_is_that_of_a_real_server(path: str) -> None:
    known = entries(recorded(path, "as=APIGroupDiscoveryList"))
    mine = {key: entry for key, entry in entries(ours(path, AGGREGATED)).items() if not key[0].endswith("podspace.io")}
    shared = mine.keys() & known.keys()
    assert len(shared) >= (9 if path == "/api" else 5)
    assert {key: mine[key] for key in shared} == {key: known[key] for key in shared}


def test_every_entry_of_the_plain_list_is_that_of_a_real_server() -> None:
    known = {entry["name"]: entry for entry in recorded("/api/v1")["resources"]}
    for entry in ours("/api/v1", "application/json")["resources"]:
        expected = {key: value for key, value in known[entry["name"]].items() if key != "storageVersionHash"}
        assert entry == expected

"""What the controller of namespaces does when the store cannot write: a full disk ends neither it nor the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from podspace import errors
from podspace.api import namespaces
from podspace.store.store import Store
from tests.unit.api.serving import Client, played

FULL = "cannot write to the store: database or disk is full"


async def until_status(client: Client, path: str, status: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if (await client.get(path)).status == status:
                return
            await asyncio.sleep(0.01)


def test_a_namespace_is_furnished_and_emptied_once_the_disk_has_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real_create, real_mutate = Store.create, Store.mutate
    refusals = {"serviceaccounts": 2, "namespaces": 2}

    def refuse(key: str) -> None:
        if refusals.get(key):
            refusals[key] -= 1
            raise errors.Unavailable(FULL)

    async def create(self: Store, key: str, obj: Any, **options: Any) -> Any:
        refuse(key if (obj.get("metadata") or {}).get("namespace") == "late" else "")
        return await real_create(self, key, obj, **options)

    async def mutate(self: Store, key: str, namespace: str, name: str, change: Any, **options: Any) -> Any:
        refuse(key if change is namespaces._finalized else "")
        return await real_mutate(self, key, namespace, name, change, **options)

    async def scene(client: Client) -> None:
        monkeypatch.setattr(Store, "create", create)
        monkeypatch.setattr(Store, "mutate", mutate)
        assert (await client.post("/api/v1/namespaces", {"metadata": {"name": "late"}})).status == 201
        await until_status(client, "/api/v1/namespaces/late/serviceaccounts/default", 200)
        assert (await client.delete("/api/v1/namespaces/late")).status == 200
        await until_status(client, "/api/v1/namespaces/late", 404)
        assert refusals == {"serviceaccounts": 0, "namespaces": 0}

    monkeypatch.setattr(namespaces, "RETRY_SECONDS", 0.01)
    played(scene)


def test_another_namespace_of_the_same_name_is_not_emptied_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    real_mutate = Store.mutate
    refused, by_hand, path = asyncio.Event(), asyncio.Event(), "/api/v1/namespaces/twice"

    async def mutate(self: Store, key: str, namespace: str, name: str, change: Any, **options: Any) -> Any:
        if change is namespaces._finalized and not by_hand.is_set():
            refused.set()
            raise errors.Unavailable(FULL)
        return await real_mutate(self, key, namespace, name, change, **options)

    async def scene(client: Client) -> None:
        monkeypatch.setattr(Store, "mutate", mutate)
        assert (await client.post("/api/v1/namespaces", {"metadata": {"name": "twice"}})).status == 201
        assert (await client.delete(path)).status == 200
        await refused.wait()
        left = (await client.get(path)).json
        left["spec"]["finalizers"] = []
        assert (await client.put(f"{path}/finalize", left)).status == 200
        by_hand.set()
        await until_status(client, path, 404)
        assert (await client.post("/api/v1/namespaces", {"metadata": {"name": "twice"}})).status == 201
        assert (await client.post(f"{path}/configmaps", {"metadata": {"name": "mine"}})).status == 201
        await asyncio.sleep(0.3)
        assert (await client.get(f"{path}/configmaps/mine")).status == 200

    monkeypatch.setattr(namespaces, "RETRY_SECONDS", 0.2)
    played(scene)

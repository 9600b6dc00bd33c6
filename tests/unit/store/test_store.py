"""What callers of the store rely on: revisions, conflicts, no-op writes, order, and what a reader may see when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace import errors
from podspace.kube.json import JSON
from podspace.store import Delete, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


def config_map(name: str, namespace: str = "default", **data: str) -> JSON:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def test_a_created_object_has_a_revision_and_can_be_read(store: Store) -> None:
    created = asyncio.run(store.create("configmaps", config_map("a", x="1")))
    assert created["metadata"]["resourceVersion"] == str(store.revision)
    assert store.get("configmaps", "default", "a") == created
    assert store.get("configmaps", "other", "a") is None


def test_resource_version_stands_where_go_puts_it(store: Store) -> None:
    obj = {"metadata": {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "t"}}
    created = asyncio.run(store.create("configmaps", obj))
    assert list(created["metadata"]) == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]
    assert "resourceVersion" not in obj["metadata"]


def test_the_name_can_be_taken_only_once(store: Store) -> None:
    async def scenario() -> None:
        await store.create("configmaps", config_map("dup"))
        with pytest.raises(errors.AlreadyExists, match=r'^configmaps "dup" already exists$') as caught:
            await store.create("configmaps", config_map("dup"))
        assert (caught.value.resource, caught.value.name) == ("configmaps", "dup")

    asyncio.run(scenario())


def test_the_name_of_a_dying_object_is_taken_and_the_error_says_so(store: Store) -> None:
    async def scenario() -> None:
        await store.create("pods", {"metadata": {"name": "l", "namespace": "d", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
        with pytest.raises(errors.AlreadyExists, match=r'^object is being deleted: pods "l" already exists$'):
            await store.create("pods", config_map("l", "d"))

    asyncio.run(scenario())


def test_a_stale_revision_is_a_conflict_in_the_api_servers_words(store: Store) -> None:
    async def scenario() -> None:
        first = await store.create("configmaps", config_map("rv", a="1"))
        revision = int(first["metadata"]["resourceVersion"])
        await store.update("configmaps", config_map("rv", a="2"), expected_revision=revision)
        with pytest.raises(errors.Conflict) as caught:
            await store.update("configmaps", config_map("rv", a="3"), expected_revision=revision)
        assert str(caught.value) == (
            'Operation cannot be fulfilled on configmaps "rv": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        with pytest.raises(errors.Conflict):
            await store.delete("configmaps", "default", "rv", expected_revision=revision)

    asyncio.run(scenario())


def test_a_write_that_changes_nothing_keeps_the_revision(store: Store) -> None:
    async def scenario() -> None:
        created = await store.create("configmaps", config_map("a", x="1"))
        before = store.revision
        assert await store.update("configmaps", config_map("a", x="1"), expected_revision=None) == created
        assert await store.mutate("configmaps", "default", "a", lambda obj: None) == created
        assert store.revision == before

    asyncio.run(scenario())


def test_what_is_not_there_cannot_be_changed(store: Store) -> None:
    async def scenario() -> None:
        with pytest.raises(errors.NotFound, match=r'^pods "nope" not found$'):
            await store.delete("pods", "default", "nope")
        with pytest.raises(errors.NotFound, match=r'^leases\.coordination\.k8s\.io "x" not found$') as caught:
            await store.update("leases.coordination.k8s.io", config_map("x"), expected_revision=None)
        assert (caught.value.resource, caught.value.group) == ("leases", "coordination.k8s.io")

    asyncio.run(scenario())


def test_a_deletion_has_a_revision_of_its_own(store: Store) -> None:
    async def scenario() -> None:
        await store.create("configmaps", config_map("a", x="1"))
        gone = await store.delete("configmaps", "default", "a")
        assert gone["metadata"]["resourceVersion"] == str(store.revision)
        assert gone["data"] == {"x": "1"}
        assert store.list("configmaps") == ([], store.revision)

    asyncio.run(scenario())


def test_mutate_can_remove_an_object_with_its_last_content(store: Store) -> None:
    async def scenario() -> None:
        await store.create("configmaps", config_map("a", x="1"))
        with store.watch("configmaps") as watch:
            await store.mutate("configmaps", "default", "a", lambda obj: Delete(obj={**obj, "data": {"x": "last"}}))
            change = await anext(watch)
        assert (change.kind, change.obj["data"], change.previous and change.previous["data"]) == ("DELETED", {"x": "last"}, {"x": "1"})

    asyncio.run(scenario())


def test_lists_are_in_the_order_of_etcd_keys(store: Store) -> None:
    async def scenario() -> None:
        for namespace, name in [("b", "x"), ("a", "z"), ("a-b", "q"), ("a", "y.z"), ("a", "y")]:
            await store.create("pods", config_map(name, namespace))
        await store.create("nodes", {"metadata": {"name": "node-1"}})
        objects, revision = store.list("pods")
        assert [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects] == [
            ("a-b", "q"),
            ("a", "y"),
            ("a", "y.z"),
            ("a", "z"),
            ("b", "x"),
        ]
        assert revision == store.revision
        assert [o["metadata"]["name"] for o in store.list("pods", "a")[0]] == ["y", "y.z", "z"]
        assert [o["metadata"]["name"] for o in store.list("nodes")[0]] == ["node-1"]

    asyncio.run(scenario())


def test_concurrent_writers_never_lose_an_update(store: Store) -> None:
    async def scenario() -> None:
        await store.create("configmaps", {"metadata": {"name": "n"}, "data": {"count": 0}})

        def more(obj: JSON) -> JSON:
            return {**obj, "data": {"count": obj["data"]["count"] + 1}}

        await asyncio.gather(*(store.mutate("configmaps", "", "n", more) for _ in range(200)))
        final = store.get("configmaps", "", "n")
        assert final is not None
        assert final["data"] == {"count": 200}

    asyncio.run(scenario())


def test_of_writers_that_expect_the_same_revision_one_wins(store: Store) -> None:
    async def scenario() -> None:
        created = await store.create("configmaps", config_map("a"))
        revision = int(created["metadata"]["resourceVersion"])
        outcomes = await asyncio.gather(
            *(store.update("configmaps", config_map("a", who=str(i)), expected_revision=revision) for i in range(10)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, errors.Conflict) for outcome in outcomes) == 9

    asyncio.run(scenario())


def test_readers_do_not_see_a_write_before_it_is_committed_but_the_next_writer_does(store: Store) -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(store.create("configmaps", config_map("a")))
            second = group.create_task(store.mutate("configmaps", "default", "a", lambda obj: {**obj, "data": {"x": "2"}}))
            await asyncio.sleep(0)
            assert store.get("configmaps", "default", "a") is None
        assert int(first.result()["metadata"]["resourceVersion"]) + 1 == int(second.result()["metadata"]["resourceVersion"])
        assert store.get("configmaps", "default", "a") == second.result()

    asyncio.run(scenario())


def test_an_error_that_rests_on_a_write_under_way_comes_after_that_write_is_visible(store: Store) -> None:
    async def scenario() -> None:
        async def second() -> None:
            with pytest.raises(errors.AlreadyExists):
                await store.create("configmaps", config_map("a"))
            assert store.get("configmaps", "default", "a") is not None

        await asyncio.gather(store.create("configmaps", config_map("a")), second())

    asyncio.run(scenario())


def test_a_cancelled_writer_leaves_the_others_alone(store: Store) -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(store.create("configmaps", config_map("a")))
            reader = group.create_task(store.mutate("configmaps", "default", "a", lambda obj: None))
            await asyncio.sleep(0)
            writer.cancel()
        assert reader.result()["metadata"]["name"] == "a"

    asyncio.run(scenario())


def test_undurable_writes_are_visible_when_they_return_and_can_be_flushed(store: Store) -> None:
    async def scenario() -> None:
        await store.create("events", config_map("e"), durable=False)
        assert store.get("events", "default", "e") is not None
        await store.flush()

    asyncio.run(scenario())

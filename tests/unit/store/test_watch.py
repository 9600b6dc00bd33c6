"""What a watcher sees: every change once, in order, from where it asked; and what happens to one that is slow or late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace import errors
from podspace.kube.json import JSON
from podspace.store import Store
from podspace.store.history import History
from podspace.store.index import Key
from podspace.store.watch import MAX_QUEUED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


def named(name: str, namespace: str = "default", **data: str) -> JSON:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def test_a_watch_sees_changes_of_its_resource_and_namespace_in_order(store: Store) -> None:
    async def scenario() -> None:
        with store.watch("pods", "default") as watch:
            await store.create("pods", named("a"))
            await store.create("pods", named("b", "other"))
            await store.create("secrets", named("a"))
            await store.update("pods", named("a", x="1"), expected_revision=None)
            await store.delete("pods", "default", "a")
            changes = await watch.batch()
        assert [(change.kind, change.name) for change in changes] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
        revisions = [change.revision for change in changes]
        assert revisions == sorted(revisions)
        assert [str(change.revision) for change in changes] == [change.obj["metadata"]["resourceVersion"] for change in changes]
        assert all(json.loads(change.encoded) == change.obj for change in changes)
        assert changes[1].previous == changes[0].obj

    asyncio.run(scenario())


def test_all_watchers_share_one_encoding(store: Store) -> None:
    async def scenario() -> None:
        with store.watch("pods") as one, store.watch("pods", "default") as two:
            await store.create("pods", named("a"))
            assert (await anext(one)).encoded is (await anext(two)).encoded

    asyncio.run(scenario())


def test_a_watch_since_a_revision_first_gets_what_it_missed(store: Store) -> None:
    async def scenario() -> None:
        await store.create("pods", named("a"))
        _, revision = store.list("pods")
        await store.update("pods", named("a", x="1"), expected_revision=None)
        await store.delete("pods", "default", "a")
        with store.watch("pods", since=revision) as watch:
            await store.create("pods", named("b"))
            changes = [await anext(watch) for _ in range(3)]
        assert [change.kind for change in changes] == ["MODIFIED", "DELETED", "ADDED"]
        assert changes[0].previous is not None
        assert changes[0].previous["data"] == {}
        assert json.loads(changes[0].encoded) == changes[0].obj

    asyncio.run(scenario())


def test_a_watch_since_a_future_revision_is_silent_until_then(store: Store) -> None:
    async def scenario() -> None:
        with store.watch("pods", since=store.revision + 1) as watch:
            await store.create("pods", named("a"))
            await store.create("pods", named("b"))
            assert [change.name for change in await watch.batch()] == ["b"]

    asyncio.run(scenario())


def test_the_initial_state_comes_as_added_changes(store: Store) -> None:
    async def scenario() -> None:
        created = await store.create("pods", named("a"))
        await store.create("nodes", {"metadata": {"name": "n"}})
        changes, revision = store.initial("pods")
        assert [(c.kind, c.namespace, c.name, c.obj, json.loads(c.encoded)) for c in changes] == [
            ("ADDED", "default", "a", created, created)
        ]
        assert revision == store.revision
        assert [(c.namespace, c.name) for c in store.initial("nodes")[0]] == [("", "n")]

    asyncio.run(scenario())


def test_a_watch_says_up_to_which_revision_it_is_complete(store: Store) -> None:
    async def scenario() -> None:
        with store.watch("pods") as watch:
            await store.create("pods", named("a"))
            await store.create("secrets", named("a"))
            change_waits = watch.revision
            change = await anext(watch)
            assert change_waits < change.revision < watch.revision == store.revision

    asyncio.run(scenario())


def test_a_slow_watcher_loses_its_place_and_nobody_waits_for_it(store: Store) -> None:
    async def scenario() -> None:
        with store.watch("pods") as slow, store.watch("pods", "nowhere") as other:
            await asyncio.gather(*(store.create("pods", named(f"p{i}"), durable=False) for i in range(MAX_QUEUED + 1)))
            with pytest.raises(errors.Expired, match="too old resource version"):
                await anext(slow)
            await store.create("pods", named("a", "nowhere"))
            assert (await anext(other)).name == "a"

    asyncio.run(scenario())


def test_closing_the_watch_or_the_store_ends_the_iteration(store: Store) -> None:
    async def scenario() -> None:
        async def consume() -> list[str]:
            with store.watch("pods") as watch:
                return [change.name async for change in watch]

        async with asyncio.TaskGroup() as group:
            consumer = group.create_task(consume())
            await asyncio.sleep(0)
            await store.create("pods", named("a"))
            await asyncio.sleep(0)
            store.close()
        assert consumer.result() == ["a"]
        with pytest.raises(errors.Unavailable):
            await store.create("pods", named("b"))

    asyncio.run(scenario())


def test_after_a_restart_an_older_revision_is_expired_and_the_current_one_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Store.open(tmp_path / "s.db") as store:
            await store.create("pods", named("a"))
            old = store.revision
            await store.create("pods", named("b"))
            newest = store.revision
        with Store.open(tmp_path / "s.db") as store:
            assert store.revision == newest
            with pytest.raises(errors.Expired, match=rf"^too old resource version: {old} \({newest}\)$"):
                store.watch("pods", since=old)
            store.watch("pods", since=newest).close()

    asyncio.run(scenario())


def add(history: History, revision: int, size: int = 2) -> None:
    history.add("ADDED", Key("pods", "d", f"p{revision}"), revision, b"{" + b" " * (size - 2) + b"}", None)


def test_history_is_bounded_by_count() -> None:
    history = History(0, max_changes=2)
    for revision in (1, 2, 3):
        add(history, revision)
    assert [change.revision for change in history.since(1, "pods")] == [2, 3]
    with pytest.raises(errors.Expired):
        history.since(0, "pods")


def test_history_is_bounded_by_bytes() -> None:
    history = History(0, max_bytes=100)
    for revision in (1, 2, 3):
        add(history, revision, size=50)
    assert [change.revision for change in history.since(1, "pods")] == [2, 3]
    with pytest.raises(errors.Expired):
        history.since(0, "pods")


def test_history_is_bounded_by_age() -> None:
    now = [0.0]
    history = History(0, max_age_seconds=10, clock=lambda: now[0])
    add(history, 1)
    now[0] = 9.0
    add(history, 2)
    now[0] = 11.0
    assert [change.revision for change in history.since(1, "pods")] == [2]
    with pytest.raises(errors.Expired):
        history.since(0, "pods")


def test_a_watch_that_is_poked_returns_with_nothing(store: Store) -> None:
    async def scene() -> None:
        with store.watch("x") as watch:
            asyncio.get_running_loop().call_soon(watch.poke)
            assert await watch.batch() == []
            assert not watch.closed
            await store.create("x", named("a"))
            assert [change.name for change in await watch.batch()] == ["a"]

    asyncio.run(scene())


def test_the_past_can_be_listed_as_far_as_the_history_reaches(store: Store) -> None:
    async def scene() -> None:
        await store.create("x", named("kept", n="1"))
        await store.create("x", named("gone", n="1"))
        await store.update("x", named("kept", n="2"), expected_revision=None)
        then = store.revision
        await store.update("x", named("kept", n="3"), expected_revision=None)
        await store.delete("x", "default", "gone")
        await store.create("x", named("gone", n="4"))
        await store.create("x", named("new"))
        await store.create("x", named("kept", "elsewhere"))
        past = store.entries_at(then, "x")
        assert [(entry.obj["metadata"]["name"], entry.obj["data"]) for entry in past] == [("gone", {"n": "1"}), ("kept", {"n": "2"})]
        assert [entry.revision for entry in past] == [int(entry.obj["metadata"]["resourceVersion"]) for entry in past]
        assert store.entries_at(store.revision, "x", "elsewhere") == store.entries("x", "elsewhere")[0]
        with pytest.raises(errors.Expired):
            store.entries_at(0, "x")

    asyncio.run(scene())

"""Whatever happens in whatever order: the store is what a plain dictionary would be, watchers can rebuild it, and so can the disk."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from podspace import errors
from podspace.kube.json import JSON
from podspace.store import Change, Delete, Store, Watch

RESOURCES = ("pods", "secrets")
Model = dict[tuple[str, str, str], JSON]


def make(source: random.Random) -> tuple[str, JSON]:
    metadata = {"name": source.choice("abcd"), "namespace": source.choice(("x", "x-y", "z"))}
    return source.choice(RESOURCES), {"metadata": metadata, "data": {"n": source.randint(0, 3)}}


async def step(store: Store, source: random.Random) -> None:
    """One random write; that it is refused is as good as that it succeeds."""
    resource, obj = make(source)
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    durable = source.random() < 0.7
    expected = source.choice((None, None, source.randint(1, store.revision)))
    try:
        match source.randint(0, 4):
            case 0 | 1:
                await store.create(resource, obj, durable=durable)
            case 2:
                await store.update(resource, obj, expected_revision=expected, durable=durable)
            case 3:
                await store.delete(resource, namespace, name, expected_revision=expected, durable=durable)
            case _:
                await store.mutate(resource, namespace, name, lambda old: obj if old["data"]["n"] else Delete(obj=old), durable=durable)
    except (errors.AlreadyExists, errors.NotFound, errors.Conflict):
        pass


def replay(model: Model, changes: list[Change]) -> None:
    """Apply what a watcher saw, checking that each change fits what came before."""
    for change in changes:
        key = (change.resource, change.namespace, change.name)
        assert change.previous == model.get(key)
        assert (change.kind == "ADDED") == (key not in model)
        if change.kind == "DELETED":
            del model[key]
        else:
            model[key] = change.obj


def contents(store: Store) -> Model:
    return {
        (resource, obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for resource in RESOURCES for obj in store.list(resource)[0]
    }


@pytest.mark.parametrize("seed", range(8))
def test_watchers_and_the_disk_agree_with_memory(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)

    async def scenario() -> tuple[Model, int]:
        with Store.open(tmp_path / "s.db") as store:
            watches: list[Watch] = [store.watch(resource) for resource in RESOURCES]
            models: list[Model] = [{} for _ in RESOURCES]
            for _ in range(30):
                await asyncio.gather(*(step(store, source) for _ in range(source.randint(1, 12))))
                marker = await store.create("markers", {"metadata": {"name": f"m{store.revision}"}})
                assert int(marker["metadata"]["resourceVersion"]) == store.revision
                for watch, model in zip(watches, models, strict=True):
                    if watch.revision < store.revision:
                        replay(model, await watch.batch())
                assert contents(store) == {**models[0], **models[1]}
            await check_replay(store, source)
            return contents(store), store.revision

    model, revision = asyncio.run(scenario())
    with Store.open(tmp_path / "s.db") as store:
        assert (contents(store), store.revision) == (model, revision)


async def check_replay(store: Store, source: random.Random) -> None:
    """A watch from any revision in the history leads from the state of then to the state of now."""
    with store.watch("pods", since=1) as watch:
        everything = await watch.batch()
    since = source.choice(everything).revision
    model: Model = {}
    replay(model, [change for change in everything if change.revision <= since])
    with store.watch("pods", since=since) as watch:
        rest = [] if watch.revision == store.revision else await watch.batch()
    replay(model, rest)
    assert model == {key: obj for key, obj in contents(store).items() if key[0] == "pods"}

"""A disk that is full for a while: nothing that runs beside the Pods may end the server for it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podspace import errors
from podspace.node import claim_controller, recorder, registration, scheduler, worker
from podspace.node.context import NodeContext
from podspace.node.fieldpath import NodeFacts
from podspace.settings import Settings
from podspace.store.store import Store
from tests.unit.node.builders import pod


class FullStore:
    """Reads work, writes do not, and what is tried is counted."""

    def __init__(self) -> None:
        self.tried = 0

    async def mutate(self, *_: Any, **__: Any) -> None:
        self.tried += 1
        raise errors.Unavailable("database or disk is full")

    async def delete(self, *_: Any, **__: Any) -> None:
        self.tried += 1
        raise errors.Unavailable("database or disk is full")

    def list(self, resource: str) -> tuple[list[dict[str, Any]], int]:
        old = {"metadata": {"namespace": "default", "name": "e", "creationTimestamp": "2020-01-01T00:00:00Z"}}
        return [old, old], 1


def test_the_lease_is_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(registration, "RENEW_SECONDS", 0.0)
    store = FullStore()
    facts = NodeFacts(name="n", ips=("192.0.2.1",), cpu_milli=1000, memory_bytes=1 << 30)

    async def main() -> None:
        abilities = registration.Abilities(user_namespaces=True, huge_pages=True)
        node = registration.Registration(store, Settings(), facts, abilities, runtime_version="crun")  # type: ignore[arg-type]
        running = asyncio.ensure_future(node.run())
        while store.tried < 3:  # noqa: ASYNC110 - every turn of the loop is a try
            await asyncio.sleep(0)
        assert not running.done()
        running.cancel()

    asyncio.run(main())
    assert "the Lease is not renewed" in caplog.text


def test_old_events_stay_until_there_is_room() -> None:
    store = FullStore()
    asyncio.run(recorder.drop_old(store, now=2e9))  # type: ignore[arg-type]
    assert store.tried == 1


def refused_once(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same, but the first time there is no room."""
    failures = iter([errors.Unavailable("database or disk is full")])

    async def written(*arguments: Any, **options: Any) -> Any:
        if error := next(failures, None):
            raise error
        return await write(*arguments, **options)

    return written


async def first_change(store: Store, folder: Path) -> Any:
    """What a scheduler first does to a Pod."""
    told = recorder.Recorder(store, component="s")
    volumes = claim_controller.ClaimController(store, told, folder=folder, node_name="n")
    running = asyncio.ensure_future(scheduler.Scheduler(store, told, volumes, node_name="n").run())
    try:
        async with asyncio.timeout(60):
            with store.watch("pods") as changes:
                return await anext(aiter(changes))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_a_pod_that_could_not_be_bound_is_bound_later(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(scheduler, "RETRY_SECONDS", 0.0)
    waiting = pod().raw
    waiting["spec"].pop("nodeName")

    async def main() -> None:
        with Store.open(tmp) as store:
            await store.create("nodes", {"metadata": {"name": "n"}, "spec": {}})
            await store.create("pods", waiting)
            monkeypatch.setattr(Store, "mutate", staticmethod(refused_once(store.mutate)))
            change = await first_change(store, tmp.parent)
            assert change.obj["spec"]["nodeName"] == "n"

    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder) / "store.db"
        asyncio.run(main())
    assert "again later" in caplog.text


def test_a_pod_of_a_node_that_is_not_here_is_removed_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scheduler, "RETRY_SECONDS", 0.0)
    foreign = pod({"nodeName": "elsewhere"}, deletionTimestamp="1970-01-01T00:20:00Z", deletionGracePeriodSeconds=30).raw

    async def main() -> None:
        with Store.open(tmp_path / "store.db") as store:
            await store.create("nodes", {"metadata": {"name": "n"}, "spec": {}})
            await store.create("pods", foreign)
            monkeypatch.setattr(Store, "delete", staticmethod(refused_once(store.delete)))
            change = await first_change(store, tmp_path)
            assert change.kind == "DELETED"

    asyncio.run(main())


def test_a_status_that_cannot_be_written_while_a_pod_ends_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = SimpleNamespace(settings=SimpleNamespace(paths=SimpleNamespace(pods=tmp_path)))
    ending = worker.PodWorker(cast(NodeContext, context), pod().raw, removed=lambda _: None)
    store = FullStore()

    async def main() -> None:
        telling = asyncio.ensure_future(ending._keep_status())
        for _ in range(3):
            ending.wake()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not telling.done()
        telling.cancel()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ending, "_write", store.mutate)
        asyncio.run(main())
    assert store.tried == 3
    assert "its status is not written: database or disk is full" in caplog.text

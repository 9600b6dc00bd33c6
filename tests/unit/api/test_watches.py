"""Watches: where they start, what a selector makes of a change, bookmarks, the end."""

from __future__ import annotations

import asyncio
import json

import pytest

from podspace.api import handlers_watch
from podspace.store import history, index
from tests.unit.api.serving import Client, configmap, next_event, played

LIST = "/api/v1/namespaces/default/configmaps"
WATCH = f"{LIST}?watch=true"


async def revision(client: Client) -> str:
    return str((await client.get(LIST)).json["metadata"]["resourceVersion"])


def test_a_watch_tells_what_happens_after_its_revision() -> None:
    async def scene(client: Client) -> None:
        await client.post(LIST, configmap("before"))
        async with client.watch(f"{WATCH}&resourceVersion={await revision(client)}") as events:
            created = (await client.post(LIST, configmap("c"))).json
            await client.patch(f"{LIST}/c", {"data": {"a": "1"}})
            await client.delete(f"{LIST}/c")
            assert await next_event(events) == {"type": "ADDED", "object": created}
            assert (await next_event(events))["type"] == "MODIFIED"
            gone = await next_event(events)
            assert gone["type"] == "DELETED"
            assert int(gone["object"]["metadata"]["resourceVersion"]) == int(await revision(client))

    played(scene)


def test_without_a_revision_a_watch_begins_with_what_there_is() -> None:
    async def scene(client: Client) -> None:
        await client.post(LIST, configmap("c"))
        for start in ("", "&resourceVersion=0"):
            async with client.watch(WATCH + start) as events:
                event = await next_event(events)
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "c")

    played(scene)


def test_initial_events_end_with_a_bookmark() -> None:
    async def scene(client: Client) -> None:
        await client.post(LIST, configmap("c"))
        query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with client.watch(WATCH + query) as events:
            assert (await next_event(events))["type"] == "ADDED"
            bookmark = await next_event(events)
            assert bookmark["type"] == "BOOKMARK"
            assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            await client.post(LIST, configmap("d"))
            assert (await next_event(events))["object"]["metadata"]["name"] == "d"

    played(scene)


def test_under_a_selector_objects_come_and_go_by_their_labels() -> None:
    async def scene(client: Client) -> None:
        await client.post(LIST, configmap("c"))
        async with client.watch(f"{WATCH}&labelSelector=on%3D1&resourceVersion={await revision(client)}") as events:
            await client.patch(f"{LIST}/c", {"metadata": {"labels": {"on": "1"}}})
            await client.patch(f"{LIST}/c", {"data": {"a": "1"}})
            await client.patch(f"{LIST}/c", {"metadata": {"labels": {"on": "0"}}})
            await client.delete(f"{LIST}/c")
            await client.post(LIST, configmap("d", metadata={"labels": {"on": "1"}}))
            seen = [await next_event(events) for _ in range(4)]
            assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
            left = seen[2]["object"]["metadata"]  # as it was when it belonged here, with the number of the change
            assert left["labels"] == {"on": "1"}
            assert int(left["resourceVersion"]) > int(seen[1]["object"]["metadata"]["resourceVersion"])

    played(scene)


def test_a_revision_too_old_is_an_error_event_in_a_good_answer() -> None:
    async def scene(client: Client) -> None:
        for number in range(history.MAX_CHANGES + 1):
            client.store._history.add("ADDED", index.Key("x", "", str(number)), number + 100, b"{}", None)
        async with client.watch(f"{WATCH}&resourceVersion=1") as events:
            event = await next_event(events)
            assert event["type"] == "ERROR"
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert await next_event(events) is None

    played(scene)


def test_a_table_tells_its_columns_once() -> None:
    async def scene(client: Client) -> None:
        await client.post(LIST, configmap("c"))
        await client.post(LIST, configmap("d"))
        async with client.watch(WATCH, Accept="application/json;as=Table;v=v1;g=meta.k8s.io") as events:
            first, second = await next_event(events), await next_event(events)
            assert first["object"]["columnDefinitions"] is not None
            assert second["object"]["columnDefinitions"] is None
            assert len(second["object"]["rows"]) == 1

    played(scene)


def test_a_watch_ends_when_its_time_is_up_and_when_the_server_stops() -> None:
    async def scene(client: Client) -> None:
        now = await revision(client)
        async with client.watch(f"{WATCH}&timeoutSeconds=1&resourceVersion={now}") as events:
            assert await next_event(events) is None
        async with client.watch(f"{WATCH}&resourceVersion={now}") as events:
            client.server.services.streams.close_all()
            assert await next_event(events) is None

    played(scene)


def test_a_client_that_goes_takes_its_watch_along() -> None:
    async def scene(client: Client) -> None:
        now = await revision(client)
        ours = set(client.store._watches["configmaps"])
        async with client.watch(f"{WATCH}&resourceVersion={now}"):
            assert len(client.store._watches["configmaps"] - ours) == 1
        async with asyncio.timeout(5):
            while client.store._watches["configmaps"] - ours:  # noqa: ASYNC110 - nothing tells when a handler is gone
                await asyncio.sleep(0.001)

    played(scene)


def test_a_revision_that_is_no_number_is_refused_before_the_stream() -> None:
    async def scene(client: Client) -> None:
        answer = await client.get(f"{WATCH}&resourceVersion=abc")
        assert answer.status == 500
        assert answer.message == 'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'

    played(scene)


def test_a_client_that_does_not_read_is_cut_off_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers_watch, "_STUCK_SECONDS", 0.2)

    async def scene(client: Client) -> None:
        path = client.server._unix_socket
        assert path is not None
        now = await revision(client)
        ours = set(client.store._watches["configmaps"])
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a ReadTransport too
        writer.write(f"GET {WATCH}&resourceVersion={now} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        big = {"k": "x" * 900_000}
        for number in range(3):  # more than any socket's buffer takes
            assert (await client.post(LIST, configmap(f"c{number}", data=big))).status == 201
        async with asyncio.timeout(10):
            while client.store._watches["configmaps"] - ours:  # noqa: ASYNC110 - nothing tells when a handler is gone
                await asyncio.sleep(0.01)
        writer.close()
        del reader

    played(scene)


def test_a_thousand_watchers_share_one_encoding() -> None:
    async def scene(client: Client) -> None:
        watches = [client.store.watch("configmaps") for _ in range(1000)]
        await client.post(LIST, configmap("c"))
        changes = [(await watch.batch())[0] for watch in watches]
        assert len({id(change.line) for change in changes}) == 1
        assert json.loads(changes[0].line)["object"]["metadata"]["name"] == "c"
        for watch in watches:
            watch.close()

    played(scene)


def test_a_quiet_stream_carries_bookmarks_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers_watch, "_BOOKMARK_SECONDS", 0.1)
    monkeypatch.setattr(handlers_watch, "_LAST_BOOKMARK_SECONDS", 0.0)

    async def scene(client: Client) -> None:
        now = await revision(client)
        async with client.watch(f"{WATCH}&resourceVersion={now}&allowWatchBookmarks=true&timeoutSeconds=30") as events:
            first = await next_event(events)
            assert (first["type"], first["object"]["metadata"]) == ("BOOKMARK", {"resourceVersion": now})
            assert (await next_event(events))["type"] == "BOOKMARK"
            made = (await client.post(LIST, configmap("c"))).json
            seen = await next_event(events)
            while seen["type"] == "BOOKMARK" and seen["object"]["metadata"]["resourceVersion"] == now:
                seen = await next_event(events)
            assert seen == {"type": "ADDED", "object": made}
            later = await next_event(events)
            assert later["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    played(scene)

"""Logs and watches in the messages of a WebSocket, which is how a browser can have them.

Source: apimachinery wsstream.Reader; e2e "should support retrieving logs from the container over websockets".
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from podspace.streaming import feed
from tests.unit.api.serving import Client, configmap, played, pod

MAPS, LOG = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods/p/log"


def connect(client: Client, path: str, *protocols: str) -> Any:
    return client.session.ws_connect("http://localhost" + path, protocols=protocols)


async def has_log(client: Client, *chunks: bytes) -> None:
    await client.post("/api/v1/namespaces/default/pods", pod("p", nodeName="n"))
    client.backend.log = chunks


async def rest(socket: aiohttp.ClientWebSocketResponse) -> list[aiohttp.WSMessage]:
    async with asyncio.timeout(5):
        return [message async for message in socket]


@pytest.mark.parametrize("offered", [(), (feed.BINARY,), ("x", feed.BINARY)])
def test_a_log_in_messages_of_bytes(offered: tuple[str, ...]) -> None:
    async def scene(client: Client) -> None:
        await has_log(client, b"one\n", b"\xfftwo\n")
        async with connect(client, LOG, *offered) as socket:
            assert [(m.type, m.data) for m in await rest(socket)] == [
                (aiohttp.WSMsgType.BINARY, data) for data in (b"", b"one\n", b"\xfftwo\n")
            ]
            assert (socket.protocol, socket.close_code) == (offered[-1] if offered else None, 1000)

    played(scene)


def test_a_log_in_base64() -> None:
    async def scene(client: Client) -> None:
        await has_log(client, b"\xff\n")
        async with connect(client, LOG, feed.BASE64) as socket:
            assert [(m.type, m.data) for m in await rest(socket)] == [(aiohttp.WSMsgType.TEXT, ""), (aiohttp.WSMsgType.TEXT, "/wo=")]

    played(scene)


def test_a_protocol_that_is_not_served_is_refused() -> None:
    async def scene(client: Client) -> None:
        await has_log(client)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(client, LOG, "v5.channel.k8s.io")
        assert refused.value.status == 403

    played(scene)


def test_what_cannot_be_had_is_a_status_as_ever() -> None:
    async def scene(client: Client) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(client, LOG)
        assert refused.value.status == 404

    played(scene)


def test_a_log_that_breaks_midway_does_not_look_complete() -> None:
    async def scene(client: Client) -> None:
        await has_log(client, b"one\n")
        client.backend.log_breaks = OSError("disk")
        async with connect(client, LOG) as socket:
            await rest(socket)
            assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    played(scene)


def test_a_watch_has_a_message_for_each_event() -> None:
    async def scene(client: Client) -> None:
        await client.post(MAPS, configmap("a"))
        await client.post(MAPS, configmap("b"))
        async with connect(client, f"{MAPS}?watch=true", "base64.binary.k8s.io") as socket, asyncio.timeout(5):
            assert socket.protocol == "base64.binary.k8s.io"  # agreed on, and no more than that, as with an API server
            events = [json.loads(await socket.receive_str()) for _ in range(2)]
            await client.delete(f"{MAPS}/a")
            events.append(json.loads(await socket.receive_str()))
            shown = [(event["type"], event["object"]["metadata"]["name"]) for event in events]
            assert shown == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]

    played(scene)


def test_a_client_that_leaves_ends_its_watch() -> None:
    async def scene(client: Client) -> None:
        async with connect(client, f"{MAPS}?watch=true") as socket, asyncio.timeout(5):
            await client.post(MAPS, configmap("a"))
            await socket.receive_str()
            await socket.close()
            while len(client.server.services.streams):
                await client.get("/readyz")

    played(scene)

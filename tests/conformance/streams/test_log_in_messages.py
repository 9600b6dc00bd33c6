"""The log of a real container in the messages of a WebSocket, followed to its end and left before it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.support.server import Server

pytestmark = pytest.mark.root

SCRIPT = "for i in 1 2 3; do echo line $i; sleep 0.2; done"


def box(name: str, script: str) -> dict[str, object]:
    return {"name": name, "image": "busybox:1.28", "command": ["sh", "-c", script]}


async def read(server: Server, container: str, *, most: int) -> bytes:
    """The first ``most`` messages that are not empty, or all there are."""
    url = f"http://localhost/api/v1/namespaces/default/pods/logged/log?container={container}&follow=true"
    found: list[bytes] = []
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(server.paths.api_socket))) as session,
        session.ws_connect(url, protocols=["binary.k8s.io"]) as socket,
    ):
        async for message in socket:
            found += [message.data] if message.data else []
            if len(found) == most:
                break
    return b"".join(found)


def test_a_log_is_followed_to_its_end_and_may_be_left_before(podspace: Server) -> None:
    containers = [box("ends", SCRIPT), box("stays", f"{SCRIPT}; exec sleep 3600")]
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": containers}
    podspace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "logged"}, "spec": spec})
    podspace.wait_for("logged", "{.status.phase}=Running")
    assert asyncio.run(read(podspace, "ends", most=100)) == b"line 1\nline 2\nline 3\n"
    assert asyncio.run(read(podspace, "stays", most=1)).startswith(b"line 1\n")
    podspace.kubectl("delete", "pod", "logged", "--timeout=20s")

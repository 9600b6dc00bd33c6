"""HTTP handed on to a Pod: what goes through, what stays, and how it fails."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp import web

from podspace.api import proxy_place
from podspace.kube.json import JSON
from tests.unit.api.serving import Client, played, pod

N = "/api/v1/namespaces/default"


async def listening(seen: list[Any]) -> tuple[web.ServerRunner, int]:
    """A web server as a Pod has it; ``seen`` gets what arrives."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return web.Response(status=418, body=b"tea", headers={"X-Pot": "big"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    return runner, int(listener.getsockname()[1])


async def running(client: Client, address: str, port: int) -> None:
    container: JSON = {"name": "a", "image": "x", "ports": [{"containerPort": port}]}
    assert (await client.post(f"{N}/pods", pod("p", containers=[container]))).status == 201
    assert (await client.patch(f"{N}/pods/p/status", {"status": {"podIP": address}})).status == 200


def test_a_request_reaches_the_pods_port_and_its_answer_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_place, "proxyable", lambda address: address)

    async def scene(client: Client) -> None:
        seen: list[Any] = []
        runner, port = await listening(seen)
        await running(client, "127.0.0.1", port)
        answer = await client.send("POST", f"{N}/pods/p/proxy/a%20b/c?x=1&y=%2F", b"body", Authorization="Bearer mine", X_Kept="1")
        assert (answer.status, answer.text, answer.headers["X-Pot"]) == (418, "tea", "big")
        method, path, headers, body = seen[0]
        assert (method, path, body) == ("POST", "/a%20b/c?x=1&y=%2F", b"body")
        assert "Authorization" not in headers
        assert (headers["X-Kept"], headers["Host"]) == ("1", "localhost")
        assert (await client.get(f"{N}/pods/http:p:{port}/proxy/")).status == 418
        assert seen[1][1] == "/"
        await runner.cleanup()
        gone = await client.get(f"{N}/pods/p:{port}/proxy/")
        assert gone.status == 503
        assert gone.message == f"error trying to reach service: dial tcp 127.0.0.1:{port}: connect: connection refused"

    played(scene)


def test_no_pod_leads_back_to_the_machine_itself() -> None:
    async def scene(client: Client) -> None:
        for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"):
            await running(client, address, 80)
            answer = await client.get(f"{N}/pods/p/proxy/")
            assert (answer.status, answer.message) == (400, "address not allowed")
            await client.delete(f"{N}/pods/p")
        await client.post(f"{N}/pods", pod("p"))
        assert (await client.get(f"{N}/pods/p/proxy/")).message == "address not allowed"
        assert (await client.get(f"{N}/pods/p:1:2/proxy/")).message == 'invalid pod request "p:1:2"'
        assert (await client.get(f"{N}/pods/none/proxy/")).status == 404

    played(scene)


def test_a_service_without_ready_pods_has_no_endpoints() -> None:
    async def scene(client: Client) -> None:
        await client.post(f"{N}/services", {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
        answer = await client.get(f"{N}/services/web:80/proxy/")
        assert (answer.status, answer.message) == (503, 'no endpoints available for service "web"')
        assert (await client.get(f"{N}/services/none/proxy/")).status == 404
        assert (await client.get("/api/v1/nodes/n/proxy/")).message == 'nodes "n" not found'

    played(scene)

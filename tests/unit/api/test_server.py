"""The server as a whole: listeners, who may come in, discovery."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path

import aiohttp
import pytest

from podspace import certificates
from podspace.api.server import ApiServer
from podspace.store.store import Store
from tests.unit.api.serving import Client, FakeBackend, played

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def test_over_tls_a_certificate_is_an_identity_and_its_lack_a_401(tmp_path: Path) -> None:
    async def scene() -> None:
        paths = certificates.ensure(tmp_path / "pki", listen="127.0.0.1:6443")
        anonymous = ssl.create_default_context(cafile=str(paths.ca))
        admin = ssl.create_default_context(cafile=str(paths.ca))
        admin.load_cert_chain(paths.client, paths.client_key)
        with Store.open(tmp_path / "store.db") as store:
            server = ApiServer(store, FakeBackend(), port=0, tls=certificates.server_context(paths))
            ready = asyncio.Event()
            running = asyncio.create_task(server.run(ready))
            await ready.wait()
            assert server.address is not None
            url = f"https://127.0.0.1:{server.address[1]}"
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{url}/api/v1/pods", ssl=anonymous) as response:
                    assert response.status == 401
                    assert await response.json() == {
                        "kind": "Status",
                        "apiVersion": "v1",
                        "metadata": {},
                        "status": "Failure",
                        "message": "Unauthorized",
                        "reason": "Unauthorized",
                        "code": 401,
                    }
                for path in ("/version", "/healthz", "/livez", "/readyz"):
                    async with session.get(url + path, ssl=anonymous) as response:
                        assert response.status == 200
            async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v1/pods", ssl=admin) as response:
                assert response.status == 200
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(scene())


def test_the_unix_socket_is_private() -> None:
    async def scene(client: Client) -> None:
        assert client.session.connector is not None
        path = getattr(client.session.connector, "path")  # noqa: B009
        assert os.stat(path).st_mode & 0o777 == 0o600

    played(scene)


def test_the_usual_namespaces_and_their_service_accounts_exist_from_the_start() -> None:
    async def scene(client: Client) -> None:
        answer = await client.get("/api/v1/namespaces")
        names = [item["metadata"]["name"] for item in answer.json["items"]]
        assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
        assert (await client.get("/api/v1/namespaces/default/serviceaccounts/default")).status == 200

    played(scene)


def test_the_version_is_semver() -> None:
    async def scene(client: Client) -> None:
        version = (await client.get("/version")).json
        assert version["gitVersion"].startswith(f"v{version['major']}.{version['minor']}.")

    played(scene)


def test_aggregated_discovery_is_cached_by_etag() -> None:
    async def scene(client: Client) -> None:
        answer = await client.get("/api", Accept=AGGREGATED)
        assert answer.headers["Content-Type"] == AGGREGATED
        pods = next(one for one in answer.json["items"][0]["versions"][0]["resources"] if one["resource"] == "pods")
        assert pods["responseKind"] == {"group": "", "version": "", "kind": "Pod"}
        assert pods["shortNames"] == ["po"]
        again = await client.get("/api", Accept=AGGREGATED, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.text) == (304, "")

    played(scene)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{AGGREGATED},application/json", "APIGroupDiscoveryList"),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", "Status"),
        ("application/json;g=apidiscovery.k8s.io;v=v3;as=X,application/json", "APIVersions"),
        ("*/*", "APIVersions"),
        ("text/html", "Status"),
    ],
)
def test_discovery_takes_the_first_form_it_can_serve(accept: str, kind: str) -> None:
    async def scene(client: Client) -> None:
        answer = await client.get("/api", Accept=accept)
        assert answer.json["kind"] == kind
        assert answer.status == (406 if kind == "Status" else 200)

    played(scene)


def test_openapi_names_a_patch_of_every_stored_kind() -> None:
    async def scene(client: Client) -> None:
        index = (await client.get("/openapi/v3")).json
        url = index["paths"]["api/v1"]["serverRelativeURL"]
        document = (await client.get(url)).json
        operation = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
        assert operation["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
        assert (await client.get("/openapi/v3/api/v1?hash=WRONG")).headers["Location"] == url
        assert (await client.get("/openapi/v3/apis/nosuch/v1")).status == 404
        async with client.session.get("http://localhost/openapi/v2") as answer:
            assert answer.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
            assert b"io.k8s.api.core.v1.Pod" in await answer.read()
            assert (await client.get("/openapi/v2", If_None_Match=answer.headers["ETag"])).status == 304

    played(scene)


@pytest.mark.parametrize("said", [b"", b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_whoever_does_not_say_what_it_wants_is_dropped(said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podspace.api.server._HELLO_SECONDS", 0.01)

    async def scene() -> None:
        with Store.open(tmp_path / "store.db") as store:
            server = ApiServer(store, FakeBackend(), unix_socket=tmp_path / "s")
            ready = asyncio.Event()
            running = asyncio.create_task(server.run(ready))
            await ready.wait()
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(said)
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            monkeypatch.setattr("podspace.api.server._HELLO_SECONDS", 30.0)
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(b"GET /api/v1/pods?limit=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in await asyncio.wait_for(reader.read(), 60)
            writer.close()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(scene())

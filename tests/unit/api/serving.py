"""A whole API server in the test's process: a store in a temporary folder, a backend that runs nothing, a client on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from podspace import errors
from podspace.api.backend import LogOptions
from podspace.api.server import ApiServer
from podspace.kube.json import JSON
from podspace.store.store import Store
from podspace.tokens import Signer
from podspace.wire.streams import Streams

NOW = 1_780_000_000.0  # 2026-05-28T20:26:40Z


@dataclass
class FakeBackend:
    """Answers from a script and remembers what it was asked."""

    log: Sequence[bytes] = (b"hello\n",)
    log_error: errors.PodspaceError | None = None
    log_breaks: Exception | None = None  # after what ``log`` says
    refused: str = ""
    asked: list[Any] = field(default_factory=list)

    def refusal(self, pod: JSON, container: str, *, attach: bool) -> str:
        return self.refused

    async def exec(self, pod: JSON, container: str, argv: Sequence[str], streams: Streams) -> int:
        self.asked.append((pod["metadata"]["name"], container, list(argv)))
        await streams.write_stdout(b"out\n")
        return 3

    async def attach(self, pod: JSON, container: str, streams: Streams) -> None:
        self.asked.append((pod["metadata"]["name"], container))

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append((pod["metadata"]["name"], container, options))
        if self.log_error:
            raise self.log_error
        for chunk in self.log:
            yield chunk
        if self.log_breaks:
            raise self.log_breaks

    async def port_forward(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise errors.Unavailable(f"port {port}: connection refused")


@dataclass
class Answer:
    """A response, read."""

    status: int
    headers: Mapping[str, str]
    warnings: list[str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        return str(self.json["message"])


@dataclass
class Client:
    """Speaks HTTP to the server under test as its administrator."""

    session: aiohttp.ClientSession
    server: ApiServer
    backend: FakeBackend

    @property
    def store(self) -> Store:
        return self.server.services.store

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request; a dict or list becomes JSON. Header names have underscores."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        data: io.BytesIO | bytes | None
        if isinstance(body, (dict, list)):
            data = io.BytesIO(json.dumps(body).encode())
            fields.setdefault("Content-Type", "application/json")
        else:
            data = body.encode() if isinstance(body, str) else body
        # yarl would normalise "//" and "%2C" away
        url = URL("http://localhost" + path, encoded=True)
        skip = {"Content-Type"} if "Content-Type" not in fields else set()
        async with self.session.request(method, url, data=data, headers=fields, skip_auto_headers=skip, allow_redirects=False) as response:
            text = (await response.read()).decode()
            return Answer(response.status, response.headers, response.headers.getall("Warning", []), text)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.send("POST", path, body, **headers)

    async def put(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.send("PUT", path, body, **headers)

    async def patch(self, path: str, body: Any, kind: str = "merge", **headers: str) -> Answer:
        """``kind``: merge, strategic-merge, json."""
        return await self.send("PATCH", path, body, Content_Type=f"application/{kind}-patch+json", **headers)

    async def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.send("DELETE", path, body, **headers)

    @contextlib.asynccontextmanager
    async def watch(self, path: str, **headers: str) -> AsyncIterator[aiohttp.StreamReader]:
        """An open watch; read it with ``next_event``."""
        async with self.session.get("http://localhost" + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield response.content


async def next_event(stream: aiohttp.StreamReader) -> Any:
    """The next line of a watch, None at its end."""
    async with asyncio.timeout(60):
        line = await stream.readline()
    return json.loads(line) if line else None


@contextlib.asynccontextmanager
async def serving(now: Callable[[], float] = lambda: NOW) -> AsyncIterator[Client]:
    """A running server and a client of it."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        backend, ready, path = FakeBackend(), asyncio.Event(), Path(folder) / "api.sock"
        server = ApiServer(store, backend, unix_socket=path, now=now, tokens=Signer(Path(folder)))
        running = asyncio.create_task(server.run(ready))
        try:
            async with asyncio.timeout(60):
                await ready.wait()
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
                yield Client(session, server, backend)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def played(scene: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Run one scene against a fresh server."""

    async def play() -> None:
        async with serving() as client:
            await scene(client)

    asyncio.run(play())


def pod(name: str = "p", **spec: Any) -> JSON:
    """A small valid Pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "a", "image": "busybox:1.28"}], **spec},
    }


def configmap(name: str, **fields: Any) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **fields.pop("metadata", {})}, **fields}

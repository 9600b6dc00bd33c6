"""A whole API server beside the test, on a thread of its own, whose "containers" are processes of the machine the test runs on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podspace import certificates, errors
from podspace.api.backend import LogOptions
from podspace.api.server import ApiServer
from podspace.cli import client, flags, kubeconfig
from podspace.kube.json import JSON
from podspace.store.store import Store
from podspace.wire.streams import Streams
from tests.conformance.streaming import app


@dataclass
class LocalBackend:
    """Runs here what should run in a container."""

    asked: list[Any] = field(default_factory=list)
    log: dict[str, Sequence[bytes]] = field(default_factory=dict)
    attached: list[str] = field(default_factory=lambda: ["cat"])
    seen: app.Seen = field(default_factory=app.Seen)

    def refusal(self, pod: JSON, container: str, *, attach: bool) -> str:
        return ""

    async def exec(self, pod: JSON, container: str, argv: Sequence[str], streams: Streams) -> int:
        self.asked.append((pod["metadata"]["name"], container, list(argv)))
        if argv[0] == "no-such-program":
            raise errors.Internal('exec: "no-such-program": executable file not found in $PATH')
        return await app.run_program(list(argv), streams, self.seen)

    async def attach(self, pod: JSON, container: str, streams: Streams) -> None:
        self.asked.append((pod["metadata"]["name"], container))
        await app.run_program(self.attached, streams, self.seen)

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append((pod["metadata"]["name"], container, options))
        for chunk in self.log.get(container, (b"hello\n",)):
            yield chunk

    async def port_forward(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise errors.Unavailable("connection refused")


@dataclass(frozen=True)
class Machine:
    """The server under test. ``api`` is a client of ours, for setting the scene."""

    kubeconfig: Path
    backend: LocalBackend
    api: client.Client
    folder: Path
    store: Store
    loop: asyncio.AbstractEventLoop

    def apply(self, obj: JSON, **status: Any) -> JSON:
        """Create an object (a Pod is then bound and runs)."""
        plural = obj["kind"].lower() + "s"
        collection = f"/api/v1/namespaces/default/{plural}" if obj["kind"] != "Namespace" else "/api/v1/namespaces"
        made = self.api.request("POST", collection, obj)
        return self.set_status(made["metadata"]["name"], **status) if obj["kind"] == "Pod" else made

    def set_status(self, name: str, **status: Any) -> JSON:
        """What the node agent would write."""
        change = self.store.mutate("pods", "default", name, lambda pod: {**pod, "status": {**pod.get("status", {}), **status}})
        return asyncio.run_coroutine_threadsafe(change, self.loop).result(10)

    def pod(self, name: str = "web", *containers: str, phase: str = "Running", **metadata: Any) -> JSON:
        """A Pod that "runs"."""
        names = containers or ("main",)
        return self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, **metadata},
                "spec": {
                    "nodeName": "box",
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": each, "image": "busybox:1.28", "stdin": True, "tty": True} for each in names],
                },
            },
            phase=phase,
            podIP="10.88.0.2",
            containerStatuses=[
                {"name": each, "ready": True, "restartCount": 0, "image": "busybox:1.28", "imageID": "", "state": {"running": {}}}
                for each in names
            ],
        )


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Machine]:
    """Start a server with a local socket and TLS; write its kubeconfigs (``kubeconfig``, and ``tls`` without the socket)."""
    backend, started, holder = LocalBackend(), threading.Event(), _Holder()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(folder, backend, started, holder)))
    thread.start()
    try:
        assert started.wait(60)
        path = folder / "kubeconfig"
        options = flags.parse("test", "", flags.COMMON, [f"--kubeconfig={path}"])
        with client.Client(kubeconfig.load(options)) as api:
            assert holder.store is not None
            assert holder.loop is not None
            yield Machine(path, backend, api, folder, holder.store, holder.loop)
    finally:
        if holder.loop is not None and holder.stop is not None:
            holder.loop.call_soon_threadsafe(holder.stop.set)
        thread.join()


@dataclass
class _Holder:
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None
    store: Store | None = None


async def _serve(folder: Path, backend: LocalBackend, started: threading.Event, holder: _Holder) -> None:
    holder.loop, holder.stop = asyncio.get_running_loop(), asyncio.Event()
    paths = certificates.ensure(folder / "pki", listen="127.0.0.1:0")
    socket = folder / "api.sock"
    with Store.open(folder / "store.db") as store:
        holder.store = store
        server = ApiServer(store, backend, port=0, tls=certificates.server_context(paths), unix_socket=socket)
        ready = asyncio.Event()
        serving = asyncio.create_task(server.run(ready))
        await ready.wait()
        assert server.address is not None
        url = certificates.server_url(*server.address)
        certificates.write_kubeconfig(folder / "kubeconfig", paths, server=url, socket_path=socket)
        certificates.write_kubeconfig(folder / "tls", paths, server=url)
        started.set()
        await holder.stop.wait()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def manifest(folder: Path, *objs: JSON, name: str = "manifest.yaml") -> Path:
    """A file with these objects, a document each."""
    path = folder / name
    path.write_text("\n---\n".join(json.dumps(obj, indent=1) for obj in objs))
    return path


def config_map(name: str, data: dict[str, str]) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def columns(text: str) -> list[list[str]]:
    """A printed table as words."""
    return [line.split() for line in text.splitlines()]

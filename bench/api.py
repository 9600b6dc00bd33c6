"""The API server under load: creates, gets, lists, watchers, the store's growth, a restart. ``python -m bench --only api``.

Method. The API server runs alone in one process (``api_server``), over TLS with a client certificate, as kubectl comes; the clients are in
another, speak HTTP/1.1 by hand on ``CONNECTIONS`` kept-alive connections and wait for each answer before they send the next request.
"Per second of one core" divides the number of requests by the CPU seconds (user and system, /proc/PID/stat) the server took for them: it
does not depend on what else the machine does. Pods are small, of one container, and bound to no node. Watchers: as many connections with an
open watch; one object is changed, and the time goes from sending that request to the last watcher having its event, the clients' part
included. The restart is that of the whole ``podspace serve`` on the same store, from the start of the process to ``ready``.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import server
from bench.measure import verdict
from podspace import certificates
from tools import registry

CONNECTIONS = 16
PODS = 5000
GETS = 10_000
WATCHERS = 1000
LISTS = 7
CHANGES = 25
CREATES_BAR, GETS_BAR, LIST_BAR_SECONDS, WATCH_BAR_MILLIS, RESTART_BAR_SECONDS = 500, 3000, 0.5, 100, 2.0
_PATH = "/api/v1/namespaces/default/pods"
_TICKS = os.sysconf("SC_CLK_TCK")


class Connection:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=1 << 26))

    def send(self, method: str, path: str, body: bytes = b"", accept: str = "application/json") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\nUser-Agent: bench/1\r\nContent-Length: {len(body)}\r\n"
        kind = {"POST": "Content-Type: application/json\r\n", "PATCH": "Content-Type: application/merge-patch+json\r\n"}.get(method, "")
        self._writer.write(f"{head}{kind}\r\n".encode() + body)

    async def receive(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return int(head[9:12]), await self._reader.readexactly(int(length)) if length else b""

    async def request(self, method: str, path: str, body: bytes = b"", accept: str = "application/json") -> bytes:
        self.send(method, path, body, accept)
        code, answer = await self.receive()
        if code >= 300:
            raise SystemExit(f"bench: {method} {path}: {code} {answer.decode()}")
        return answer

    def close(self) -> None:
        self._writer.close()


class Watcher(asyncio.Protocol):
    """A connection with an open watch, as cheap as can be: the clients' time counts too."""

    def __init__(self, path: str, seen: Callable[[bytes], None]) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n".encode()
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._seen(data)


class Arrivals:
    """Counts what watchers see."""

    def __init__(self) -> None:
        self._left = 0
        self._all = asyncio.Event()

    def expect(self, count: int) -> None:
        self._left = count
        self._all.clear()

    def saw(self, data: bytes) -> None:
        self._left -= 1
        if not self._left:
            self._all.set()

    async def complete(self) -> None:
        await self._all.wait()


class Server:
    """The API server's process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen([sys.executable, "-m", "bench.api_server", str(folder)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        paths = certificates.Paths(folder=folder / "etc" / "pki")
        self.tls = ssl.create_default_context(cafile=str(paths.ca))
        self.tls.load_cert_chain(paths.client, paths.client_key)

    def cpu_seconds(self) -> float:
        return _cpu_seconds(self._process.pid)

    def resident_mebi(self) -> float:
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def store_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "lib").glob("store.db*"))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def run(folder: Path, mirror: registry.Mirror, start: Callable[[Path, Path], server.Podspace]) -> None:
    """``start`` begins the whole server on a root folder and returns when it is ready."""
    print("\nthe API server alone")
    alone = Server(folder)
    try:
        asyncio.run(_load(alone))
    finally:
        alone.close()
    began = time.perf_counter()
    whole = start(folder, mirror.registries_conf)
    took = time.perf_counter() - began
    cpu = _cpu_seconds(whole.pid)
    whole.close()
    kept = verdict(took <= RESTART_BAR_SECONDS)
    print(f"  restart with {PODS} Pods: ready in {took:.2f} s (bar {RESTART_BAR_SECONDS:.0f} s: {kept}; {cpu:.2f} s of CPU)")


async def _load(server: Server) -> None:
    connections = [await Connection.open(server.port, server.tls) for _ in range(CONNECTIONS)]
    sizes = [server.store_bytes()]
    rates = []
    for first in range(0, PODS, PODS // 5):
        rates.append(await _rate(server, connections, PODS // 5, functools.partial(_create, first)))
        sizes.append(server.store_bytes())
    _tell("creates of Pods", statistics.median(rates), CREATES_BAR)
    _tell("single gets", await _rate(server, connections, GETS, lambda c, n: c.request("GET", f"{_PATH}/p-{n % PODS}")), GETS_BAR)
    for what, accept in (("JSON", "application/json"), ("Table", "application/json;as=Table;v=v1;g=meta.k8s.io")):
        cpu = server.cpu_seconds()
        seconds = [await _seconds(connections[0].request("GET", f"{_PATH}?resourceVersion=0", accept=accept)) for _ in range(LISTS)]
        took, cpu = statistics.median(seconds), (server.cpu_seconds() - cpu) / LISTS
        kept = verdict(took <= LIST_BAR_SECONDS)
        print(f"  list of {PODS} Pods as {what}: {took:.3f} s (bar {LIST_BAR_SECONDS} s: {kept}; {cpu:.3f} s of CPU)")
    await _watchers(server, connections[0])
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    growth = ", ".join(f"{step / (1 << 20):.1f}" for step in steps)
    print(f"  store: {sizes[-1] / PODS / 1024:.1f} KiB a Pod; each fifth of them added {growth} MiB")
    print(f"  memory: {server.resident_mebi():.0f} MiB resident with {PODS} Pods")
    for connection in connections:
        connection.close()


async def _create(first: int, connection: Connection, number: int) -> bytes:
    return await connection.request("POST", _PATH, _pod(first + number))


async def _rate(server: Server, connections: list[Connection], count: int, request: Callable[[Connection, int], Awaitable[bytes]]) -> float:
    """Requests per CPU second of the server."""
    numbers = iter(range(count))

    async def work(connection: Connection) -> None:
        for number in numbers:
            await request(connection, number)

    before = server.cpu_seconds()
    await asyncio.gather(*map(work, connections))
    return count / (server.cpu_seconds() - before)


async def _watchers(server: Server, writer: Connection) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    await writer.request("POST", path, json.dumps({"metadata": {"name": "seen"}}).encode())
    revision = json.loads(await writer.request("GET", f"{path}/seen"))["metadata"]["resourceVersion"]
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    watchers = []
    for _ in range(WATCHERS):
        arrivals.expect(1)  # the head of the answer
        make = functools.partial(Watcher, f"{path}?watch=1&resourceVersion={revision}", arrivals.saw)
        watchers.append((await loop.create_connection(make, "127.0.0.1", server.port, ssl=server.tls))[0])
        await arrivals.complete()
    millis, cpu = [], server.cpu_seconds()
    for number in range(CHANGES):
        arrivals.expect(WATCHERS)
        began = time.perf_counter()
        await writer.request("PATCH", f"{path}/seen", json.dumps({"data": {"n": str(number)}}).encode())
        await arrivals.complete()
        millis.append((time.perf_counter() - began) * 1000)
    took, cpu = statistics.median(millis), (server.cpu_seconds() - cpu) / CHANGES * 1000
    kept = verdict(took <= WATCH_BAR_MILLIS)
    print(f"  {WATCHERS} watchers have seen a change in {took:.0f} ms (bar {WATCH_BAR_MILLIS} ms: {kept}; {cpu:.0f} ms of its CPU)")
    for watcher in watchers:
        watcher.close()


async def _seconds(work: Awaitable[bytes]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _tell(what: str, rate: float, bar: int) -> None:
    print(f"  {what}: {rate:.0f} per second of one core (bar {bar}: {verdict(rate >= bar)})")


def _pod(number: int) -> bytes:
    container = {"name": "a", "image": "busybox:1.28", "command": ["sleep", "3600"]}
    spec = {"schedulerName": "nobody", "containers": [container]}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p-{number}", "labels": {"app": "bench"}}, "spec": spec}
    ).encode()

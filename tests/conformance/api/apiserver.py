"""The API server alone, for real kubectl: no node, so Pods stay Pending. It runs in a thread of the test's process, over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from podspace import certificates
from podspace.api.server import ApiServer
from podspace.store.store import Store
from podspace.tokens import Signer
from tests.unit.api.serving import FakeBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One kubectl release against one server."""

    program: str
    folder: Path
    is_old: bool = False

    def __call__(self, *arguments: str, stdin: str | None = None, status: int = 0) -> str:
        """Run it and return its standard output; standard error comes behind it if the status is not the one expected here."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == status, f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if status == 0 else done.stdout + done.stderr

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [self.program, "--kubeconfig", str(self.folder / "kubeconfig"), "--cache-dir", str(self.folder / "cache"), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, env=self._environment())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run it beside the test."""
        command = [self.program, "--kubeconfig", str(self.folder / "kubeconfig"), "--cache-dir", str(self.folder / "cache"), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environment())

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "HOME": str(self.folder)}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """A server with a kubeconfig in ``folder``."""
    paths = certificates.ensure(folder / "pki", listen="127.0.0.1:0")
    with Store.open(folder / "store.db") as store:
        context = certificates.server_context(paths)
        server = ApiServer(store, FakeBackend(), port=0, tls=context, ca_certificate=paths.ca.read_text(), tokens=Signer(folder))
        with _in_thread(server):
            assert server.address is not None
            certificates.write_kubeconfig(folder / "kubeconfig", paths, server=f"https://127.0.0.1:{server.address[1]}")
            yield server


@contextlib.contextmanager
def _in_thread(server: ApiServer) -> Iterator[None]:
    loop, started = asyncio.new_event_loop(), threading.Event()
    stop, failures = asyncio.Event(), list[BaseException]()

    async def main() -> None:
        ready = asyncio.Event()
        running = asyncio.create_task(server.run(ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        started.set()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    try:
        yield
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        if failures:
            raise failures[0]


def rows(table: str) -> list[list[str]]:
    """A printed table, split at runs of two and more spaces."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]

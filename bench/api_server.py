"""The API server alone, over TLS, in a process of its own: ``python -m bench.api_server FOLDER``. Nothing runs the Pods it keeps.

Prints its port once it listens; ends with SIGTERM. ``bench.api`` counts the CPU this process takes.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from podspace import certificates, errors
from podspace.api.server import ApiServer
from podspace.kube.json import JSON
from podspace.store.store import Store
from podspace.tokens import Signer
from podspace.wire.logoptions import LogOptions
from podspace.wire.streams import Streams


class Nobody:
    """A backend without Pods."""

    def refusal(self, pod: JSON, container: str, *, attach: bool) -> str:
        return "nothing runs here"

    async def exec(self, pod: JSON, container: str, argv: Sequence[str], streams: Streams) -> int:
        raise errors.FailedPrecondition("nothing runs here")

    async def attach(self, pod: JSON, container: str, streams: Streams) -> None:
        raise errors.FailedPrecondition("nothing runs here")

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        raise errors.FailedPrecondition("nothing runs here")
        yield b""

    async def port_forward(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise errors.FailedPrecondition("nothing runs here")


async def serve(folder: Path) -> None:
    pki = certificates.ensure(folder / "etc" / "pki", listen="127.0.0.1:0")
    with Store.open(folder / "lib" / "store.db") as store:
        tls, ca = certificates.server_context(pki), pki.ca.read_text()
        server = ApiServer(store, Nobody(), port=0, tls=tls, ca_certificate=ca, tokens=Signer(pki.folder))
        ready = asyncio.Event()
        running = asyncio.create_task(server.run(ready))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        await ready.wait()
        assert server.address is not None
        print(server.address[1], flush=True)
        await asyncio.wait([running])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))

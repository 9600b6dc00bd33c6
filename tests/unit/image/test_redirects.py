"""Registries keep blobs elsewhere: what is followed, and what is not carried along."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from podspace.image.auth import Credential
from podspace.image.service import Images
from podspace.settings import Paths, Settings
from tests.unit.image import fake_registry, tars


@dataclass(slots=True, kw_only=True)
class Redirecting:
    """In front of a registry's blobs: sends everybody elsewhere."""

    registry: fake_registry.FakeRegistry
    elsewhere: str

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if "/blobs/" in request.path and "Authorization" in request.headers:
            raise web.HTTPTemporaryRedirect(f"http://{self.elsewhere}{request.path}")
        return await self.registry.handle(request)


def test_a_token_stays_with_the_registry_that_wanted_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", os.devnull)

    async def main() -> None:
        async with fake_registry.running() as storage:
            front = fake_registry.FakeRegistry(user=("joe", "secret"))
            layer = tars.make([tars.file("f", b"content")])
            for registry in (front, storage):
                registry.add_image("app", "1", [layer])
            async with redirecting(front, storage.host) as host:
                credential = Credential(scope=host, username="joe", password="secret")
                image = await Images(Settings(paths=Paths.under(tmp_path))).pull(f"{host}/app:1", credentials=[credential])
            assert (image.layers[0] / "f").read_bytes() == b"content"
            assert storage.asked_for("/blobs/") == 2
            assert set(storage.authorizations) == {""}

    asyncio.run(main())


@contextlib.asynccontextmanager
async def redirecting(front: fake_registry.FakeRegistry, elsewhere: str) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", Redirecting(registry=front, elsewhere=elsewhere).handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield front.host
    finally:
        await runner.cleanup()

"""A registry inside the test's own event loop, well-behaved unless told otherwise, that remembers what it was asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from podspace.image import manifest
from tests.unit.image import tars

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(slots=True, kw_only=True)
class FakeRegistry:
    """Content, what may go wrong, and the log. Digests and tags are keys of ``content``."""

    host: str = ""
    content: dict[str, tuple[bytes, str]] = field(default_factory=dict)  # "repository@digest-or-tag" -> body, media type
    log: list[str] = field(default_factory=list)  # "GET /v2/..." with " Range" behind it
    authorizations: list[str] = field(default_factory=list)
    tokens: bool = False  # wants a bearer token
    user: tuple[str, str] | None = None  # for basic auth, or at the token server
    cut_after: dict[str, list[int]] = field(default_factory=dict)  # digest -> bytes to send before breaking off, per request
    ignores_range: bool = False
    failures: list[int] = field(default_factory=list)  # statuses to answer with first
    gates: dict[str, asyncio.Event] = field(default_factory=dict)  # digest -> wait for this before the body
    reached: asyncio.Event = field(default_factory=asyncio.Event)  # set when a gate is reached

    def add_blob(self, repository: str, body: bytes, media_type: str = "application/octet-stream") -> dict[str, Any]:
        digest = tars.digest(body)
        self.content[f"{repository}@{digest}"] = (body, media_type)
        return {"mediaType": media_type, "digest": digest, "size": len(body)}

    def add_image(self, repository: str, tag: str, layers: Sequence[bytes], config: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Add an image of these tars; return the manifest's digest."""
        document = {
            "os": "linux",
            "architecture": manifest.host_platform().architecture,
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [tars.digest(layer) for layer in layers]},
        } | more
        body = {
            "schemaVersion": 2,
            "mediaType": manifest.OCI_MANIFEST,
            "config": self.add_blob(repository, json.dumps(document).encode(), OCI_CONFIG),
            "layers": [self.add_blob(repository, gzip.compress(layer, mtime=0), OCI_LAYER) for layer in layers],
        }
        return self.add_manifest(repository, tag, body)

    def add_manifest(self, repository: str, tag: str, document: Mapping[str, Any]) -> str:
        body = json.dumps(document).encode()
        described = self.add_blob(repository, body, document["mediaType"])
        self.content[f"{repository}@{tag}"] = (body, document["mediaType"])
        return str(described["digest"])

    def blobs_of(self, repository: str, tag: str) -> list[str]:
        """Digests of an image's layers, lowest first."""
        return [layer["digest"] for layer in json.loads(self.content[f"{repository}@{tag}"][0])["layers"]]

    def asked_for(self, text: str) -> int:
        return sum(text in line for line in self.log)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.log.append(f"{request.method} {request.path_qs}" + (" Range" if "Range" in request.headers else ""))
        self.authorizations.append(request.headers.get("Authorization", ""))
        if request.path == "/token":
            return self._token(request)
        if request.path == "/v2/":
            return web.Response()
        if refusal := self._unauthorized(request):
            return refusal
        if self.failures:
            return _error(self.failures.pop(0), "UNAVAILABLE", "try again")
        repository, _, rest = request.path.removeprefix("/v2/").rpartition("/" + request.path.split("/")[-2] + "/")
        found = self.content.get(f"{repository}@{rest}")
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if rest in self.gates:
            self.reached.set()
            await self.gates[rest].wait()
        return await self._send(request, rest, *found)

    async def _send(self, request: web.Request, name: str, body: bytes, media_type: str) -> web.StreamResponse:
        start = 0
        if "Range" in request.headers and not self.ignores_range:
            start = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Type": media_type, "Content-Length": str(len(body) - start), "Docker-Content-Digest": tars.digest(body)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        cuts = self.cut_after.get(name)
        if cuts:
            await response.write(body[start : start + cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(body[start:])
        await response.write_eof()
        return response

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        if self.tokens:
            if given == "Bearer good":
                return None
            challenge = f'Bearer realm="http://{self.host}/token",service="fake",scope="repository:x:pull"'
        elif self.user is None or given == _basic(*self.user):
            return None
        else:
            challenge = 'Basic realm="fake"'
        return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})

    def _token(self, request: web.Request) -> web.Response:
        if self.user is not None and request.headers.get("Authorization") != _basic(*self.user):
            return web.json_response({"details": "incorrect username or password"}, status=401)
        return web.json_response({"token": "good"})


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[FakeRegistry]:
    registry = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", registry.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield registry
    finally:
        for gate in registry.gates.values():
            gate.set()
        await runner.cleanup()

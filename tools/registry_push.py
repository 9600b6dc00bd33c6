"""Pushing an OCI layout to a registry on loopback: as much of the distribution API as that takes.

Called by ``tools.images`` and tests. Plain HTTP, optionally with basic auth. Source: OCI distribution-spec, "Push".
"""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tools import image_layout


def push_layout(folder: Path, registry: str, *, username: str = "", password: str = "") -> None:
    """Push every tagged image of the layout. A name's host part is dropped: the registry stands in for that host."""
    with Pusher(registry, username=username, password=password) as pusher:
        for descriptor in image_layout.Layout(folder).manifests:
            name = descriptor["annotations"][image_layout.REF_NAME]
            repository, _, tag = name.partition("/")[2].rpartition(":")
            pusher.push(image_layout.Layout(folder), descriptor, repository, tag)


class Pusher:
    """One connection to one registry."""

    def __init__(self, registry: str, *, username: str = "", password: str = "") -> None:
        self._connection = http.client.HTTPConnection(registry, timeout=60)
        self._headers: dict[str, str] = {}
        if username:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    def __enter__(self) -> Pusher:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def push(self, layout: image_layout.Layout, descriptor: dict[str, Any], repository: str, reference: str) -> None:
        """Push a manifest or index with all it points to. ``reference``: a tag, or the digest of a manifest inside an index."""
        content = layout.blob(descriptor["digest"])
        decoded = json.loads(content)
        for child in decoded.get("manifests", ()):
            self.push(layout, child, repository, child["digest"])
        for blob in [*decoded.get("layers", ()), *([decoded["config"]] if "config" in decoded else ())]:
            self._push_blob(layout, repository, blob["digest"])
        headers = {"Content-Type": descriptor["mediaType"]}
        self._request("PUT", f"/v2/{repository}/manifests/{reference}", content, headers, expected=201)

    def _push_blob(self, layout: image_layout.Layout, repository: str, digest: str) -> None:
        if self._request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return
        location = self._request("POST", f"/v2/{repository}/blobs/uploads/", b"", expected=202).headers["Location"]
        parts = urlsplit(location)
        query = f"{parts.query}&" if parts.query else ""
        self._request("PUT", f"{parts.path}?{query}digest={quote(digest)}", layout.blob(digest), expected=201)

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *, expected: int | None = None
    ) -> http.client.HTTPResponse:
        self._connection.request(method, path, body=body, headers={**self._headers, **(headers or {})})
        response = self._connection.getresponse()
        said = response.read()
        if expected is not None and response.status != expected:
            raise SystemExit(f"push: {method} {path}: {response.status} {said.decode(errors='replace')[:500]}")
        return response

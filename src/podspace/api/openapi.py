"""/openapi: what kubectl wants to see before it creates, and what ``kubectl explain`` prints.

Called by ``dispatch``. The schemas are ``kube.schema``'s, loaded when first asked for; the documents are kept as bytes.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from aiohttp import web

import podspace
from podspace import settings
from podspace.api import call as calls
from podspace.api import discovery, respond
from podspace.api.query import Query

_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def serve(http: web.BaseRequest, path: str, query: Query) -> web.StreamResponse:
    """Answer below /openapi."""
    path = path.rstrip("/")
    if path == "/openapi/v2":
        return _all(http)
    if path == "/openapi/v3":
        return respond.response(respond.body(_index()), content_type="text/plain; charset=utf-8")
    return _group(http, path.removeprefix("/openapi/v3/"), query)


def _all(http: web.BaseRequest) -> web.Response:
    headers = {"ETag": f'"{_fingerprint("v2")}"', "Vary": "Accept"}
    if http.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return respond.response(_document_v2(), content_type=_V2_TYPE, headers=headers, gzip=calls.accepts_gzip(http))


def _group(http: web.BaseRequest, name: str, query: Query) -> web.StreamResponse:
    known = _names().get(name)
    if known is None:
        return web.Response(status=404)
    fingerprint = _fingerprint(name)
    asked = query.get("hash")
    if asked and asked != fingerprint:
        return web.Response(status=301, headers={"Location": f"/openapi/v3/{name}?hash={fingerprint}"})
    headers = {"ETag": f'"{fingerprint}"', "Vary": "Accept", "Cache-Control": "public, immutable" if asked else "no-cache, private"}
    if http.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return respond.response(_document(*known), headers=headers, gzip=calls.accepts_gzip(http))


def _index() -> dict[str, dict[str, dict[str, str]]]:
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_fingerprint(name)}"} for name in _names()}}


@lru_cache
def _names() -> dict[str, tuple[str, str]]:
    """``api/v1``, ``apis/coordination.k8s.io/v1``: (group, version)."""
    names = {f"api/{version}": ("", version) for version in discovery.versions_of("")}
    names.update(
        (f"apis/{group}/{version}", (group, version)) for group in discovery.named_groups() for version in discovery.versions_of(group)
    )
    return names


@lru_cache
def _fingerprint(name: str) -> str:
    """Changes with the release, not with every build of the document: the index must not cost the schemas."""
    return hashlib.sha256(f"{podspace.__version__} {settings.KUBERNETES_VERSION} {name}".encode()).hexdigest().upper()


@lru_cache
def _document(group: str, version: str) -> bytes:
    from podspace.kube import schema

    return respond.body(schema.openapi_v3(group, version))


@lru_cache
def _document_v2() -> bytes:
    from podspace.kube import schema

    return schema.openapi_v2()

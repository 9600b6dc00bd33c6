"""The paths that are not resources: health, version, the list of paths, and that there are no definitions of custom resources.

Called by ``dispatch``. Health and version are open to everybody.
"""

from __future__ import annotations

import platform

from aiohttp import web

from podspace import settings
from podspace.api import call as calls
from podspace.api import discovery, issuer, openapi, respond, routes
from podspace.api.query import Query
from podspace.api.routes import PageNotFound
from podspace.kube.json import JSON

_HEALTH = ("healthz", "livez", "readyz")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def serve(http: web.BaseRequest, path: str, query: Query) -> web.StreamResponse:
    """Answer a path outside /api and /apis.  Raises: PageNotFound."""
    parts = path.strip("/").split("/")
    if http.method not in ("GET", "HEAD"):
        raise PageNotFound
    if parts[0] in _HEALTH and len(parts) <= 2:
        return respond.text(f"[+]ping ok\n[+]store ok\n{parts[0]} check passed\n" if query.all("verbose") else "ok")
    if parts == ["version"]:
        return respond.response(respond.body(version(), pretty=not calls.accepts_gzip(http)))
    if parts[0] == "openapi" and len(parts) > 1:
        return openapi.serve(http, path, query)
    if path == routes.DEFINITIONS:
        kind = {"kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1"}
        return respond.response(respond.body({**kind, "metadata": {}, "items": []}))
    if parts == [""]:
        return respond.response(respond.body({"paths": _paths()}))
    raise PageNotFound


def version() -> JSON:
    """``/version``: the Kubernetes whose API this is; ``gitVersion`` must be semver or kubectl fails."""
    import podspace

    major, minor = settings.KUBERNETES_VERSION.lstrip("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{settings.KUBERNETES_VERSION}+podspace-{podspace.__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"python{platform.python_version()}",
        "platform": f"linux/{_MACHINES.get(platform.machine(), platform.machine())}",
    }


def _paths() -> list[str]:
    groups = [f"/apis/{group}" for group in discovery.named_groups()]
    versions = [f"/apis/{group}/{one}" for group in discovery.named_groups() for one in discovery.versions_of(group)]
    fixed = ("/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version")
    return sorted([issuer.CONFIGURATION, issuer.KEYS, *fixed, *groups, *versions])

"""What is served, told to clients: the aggregated documents kubectl caches, and the older ones some verbs still ask for.

Called by ``dispatch`` for /api, /apis and below. Everything is made of ``kube.resources``, once.
Source: KEP-3352 (aggregated discovery); meta/v1 APIResourceList; formats as seen on the wire.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

from aiohttp import web

from podspace import errors
from podspace.api import call as calls
from podspace.api import negotiate, respond
from podspace.api.routes import GroupVersion, PageNotFound
from podspace.kube import resources
from podspace.kube.json import JSON

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_UNKNOWN = (
    "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf, " + _AGGREGATED
)


class _Document(NamedTuple):
    body: bytes
    etag: str


def serve(http: web.BaseRequest, wanted: GroupVersion) -> web.StreamResponse:
    """Answer a discovery request.  Raises: NotAcceptable, PageNotFound."""
    if not wanted.group and not wanted.version:
        return _root(http, wanted.legacy)
    if not wanted.version:
        return _plain(http, group_document(wanted.group))
    return _plain(http, resource_list(wanted.group, wanted.version))


def _root(http: web.BaseRequest, legacy: bool) -> web.StreamResponse:
    """/api or /apis: the first clause of Accept that can be served decides which document."""
    for clause in negotiate.clauses(http.headers.get("Accept", "")):
        if clause.parameters.get("as"):
            if clause.parameters == {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}:
                return _aggregated(http, legacy)
        elif clause.type in (negotiate.JSON_TYPE, negotiate.YAML_TYPE, "*/*", "application/*"):
            break
    else:
        if http.headers.get("Accept"):
            raise errors.NotAcceptable(_UNKNOWN)
    return _plain(http, _versions(http) if legacy else group_list())


def _aggregated(http: web.BaseRequest, legacy: bool) -> web.StreamResponse:
    document = _aggregated_document(legacy)
    headers = {"ETag": document.etag, "Cache-Control": "public", "Vary": "Accept"}
    if http.headers.get("If-None-Match") == document.etag:
        return web.Response(status=304, headers=headers)
    return respond.response(document.body, content_type=_AGGREGATED, headers=headers, gzip=calls.accepts_gzip(http))


def _plain(http: web.BaseRequest, value: JSON) -> web.StreamResponse:
    form = negotiate.form(http.headers.get("Accept", ""))
    kind = "application/yaml" if form.yaml else "application/json"
    return respond.response(respond.body(value, yaml=form.yaml), content_type=kind)


@lru_cache
def _aggregated_document(legacy: bool) -> _Document:
    groups = [""] if legacy else named_groups()
    items = [_group_discovery(group) for group in groups]
    body = respond.body({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    return _Document(body, f'"{hashlib.sha512(body).hexdigest().upper()}"')


def _group_discovery(group: str) -> JSON:
    versions = [
        {"version": version, "resources": [_discovered(resource) for resource in _served(group, version)], "freshness": "Current"}
        for version in versions_of(group)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _discovered(resource: resources.Resource) -> JSON:
    entry: JSON = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {"subresource": name, "responseKind": _response_kind(sub), "verbs": list(sub.verbs)}
            for name, sub in resource.subresources.items()
        ]
    return entry


def _response_kind(subresource: resources.Subresource) -> JSON:
    group, _, version = subresource.group_version.rpartition("/")
    return {"group": group, "version": version, "kind": subresource.kind}


def resource_list(group: str, version: str) -> JSON:
    """APIResourceList, where a subresource is an entry named ``pods/log``."""
    entries = []
    for resource in _served(group, version):
        entries.append(_listed(resource))
        entries.extend(_listed_subresource(resource, name, sub) for name, sub in resource.subresources.items())
    head: JSON = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": entries}


def _listed(resource: resources.Resource) -> JSON:
    entry: JSON = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _listed_subresource(resource: resources.Resource, name: str, subresource: resources.Subresource) -> JSON:
    entry: JSON = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if subresource.group_version:
        kind = _response_kind(subresource)
        entry.update(group=kind["group"], version=kind["version"])
    return {**entry, "kind": subresource.kind, "verbs": list(subresource.verbs)}


def _versions(http: web.BaseRequest) -> JSON:
    address = http.headers.get("Host", "")
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list() -> JSON:
    """APIGroupList: every named group."""
    groups = [{key: value for key, value in group_document(group).items() if key not in ("kind", "apiVersion")} for group in named_groups()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_document(group: str) -> JSON:
    """APIGroup.  Raises: PageNotFound."""
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions_of(group)]
    if not versions:
        raise PageNotFound
    return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions, "preferredVersion": versions[0]}


def named_groups() -> list[str]:
    """Every group but the core one, in the order of the table."""
    return list(dict.fromkeys(resource.group for resource in resources.RESOURCES if resource.group and not resource.hidden))


def versions_of(group: str) -> list[str]:
    return list(dict.fromkeys(resource.version for resource in resources.RESOURCES if resource.group == group and not resource.hidden))


def _served(group: str, version: str) -> list[resources.Resource]:
    return [one for one in resources.RESOURCES if (one.group, one.version) == (group, version) and not one.hidden]

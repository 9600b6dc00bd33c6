"""``proxy`` of Pods, Services and the node: HTTP and WebSockets through the API to whoever listens there.

Called by ``dispatch``. Where to is ``proxy_place``'s to say, how is ``streaming.http_proxy``'s. Services need nobody to route to them for
this: an API server asks their endpoints too. Of a kubelet's own paths, the node answers those that tell of it and its Pods.
"""

from __future__ import annotations

import random

from aiohttp import web

from podspace import errors
from podspace.api import proxy_place, respond, routes, shape
from podspace.api.call import Call
from podspace.kube.json import JSON

KUBELET_PORTS = ("", "10250")


async def pods(call: Call) -> web.StreamResponse:
    """``pods/[scheme:]name[:port]/proxy/path``, by any method.  Raises: BadRequest, NotFound, Unavailable."""
    wanted = proxy_place.split(call.target.name, "pod")
    pod = _object(call, "pods", call.target.namespace, wanted.name)
    return await _forwarded(call, wanted.scheme, *proxy_place.of_pod(pod, wanted))


async def services(call: Call) -> web.StreamResponse:
    """``services/[scheme:]name[:port]/proxy/path``: to one of the ready Pods that it selects.  Raises: as ``pods``."""
    wanted = proxy_place.split(call.target.name, "service")
    service = _object(call, "services", call.target.namespace, wanted.name)
    port = proxy_place.service_port(service, wanted)
    candidates, _ = call.store.list("pods", call.target.namespace)
    found = proxy_place.endpoints(service, port, candidates)
    if not found:
        raise errors.Unavailable(f'no endpoints available for service "{wanted.name}"')
    address, number = random.choice(found)
    return await _forwarded(call, wanted.scheme, proxy_place.proxyable(address), number)


async def nodes(call: Call) -> web.StreamResponse:
    """``nodes/name/proxy/healthz``, ``pods`` or ``stats/summary``; by port, whatever listens there.  Raises: as ``pods``; PageNotFound."""
    wanted = proxy_place.split(call.target.name, "node")
    node = _object(call, "nodes", "", wanted.name)
    if wanted.port not in KUBELET_PORTS:
        addresses = [one["address"] for one in (node.get("status") or {}).get("addresses") or () if one["type"] == "InternalIP"]
        return await _forwarded(call, wanted.scheme, proxy_place.proxyable((addresses or [""])[0]), proxy_place.number(wanted.port))
    _, path = proxy_place.paths(call.http.raw_path)
    if call.http.method != "GET":
        raise errors.MethodNotAllowed(routes.NO_METHOD)
    if path.rstrip("/") == "/healthz":
        return respond.text("ok")
    found, _ = call.store.list("pods", "")
    bound = [pod for pod in found if pod["spec"].get("nodeName") == wanted.name]
    if path.rstrip("/") == "/pods":
        return call.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [shape.bare(pod) for pod in bound]})
    if path.rstrip("/") == "/stats/summary" and call.services.sampler is not None:
        return call.answer(await call.services.sampler.summary(node, bound, call.services.now))
    raise routes.PageNotFound


async def _forwarded(call: Call, scheme: str, address: str, port: int) -> web.StreamResponse:
    from podspace.streaming import http_proxy

    prefix, path = proxy_place.paths(call.http.raw_path)
    place = http_proxy.Place(scheme=scheme, host=address, port=port, path=path, prefix=prefix)
    with call.services.sessions.held():
        return await http_proxy.forward(call.http, place)


def _object(call: Call, resource: str, namespace: str, name: str) -> JSON:
    """Raises: NotFound."""
    found = call.store.get(resource, namespace, name)
    if found is None:
        raise errors.NotFound.of(resource, name)
    return found

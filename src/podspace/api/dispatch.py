"""From an HTTP request to the handler that answers it, and from whatever that raises to a Status: the one boundary.

Called by the server for every request. It knows who may do what and which handler does it; it must not know how.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from podspace import errors
from podspace.api import (
    accounts,
    authorization,
    discovery,
    exec,
    handlers_create,
    handlers_delete,
    handlers_get,
    handlers_list,
    handlers_patch,
    handlers_update,
    handlers_watch,
    identity,
    issuer,
    lens,
    logs,
    metrics,
    negotiate,
    plain,
    pod_actions,
    proxy,
    registry,
    respond,
    reviews,
    routes,
    status_http,
    token_requests,
)
from podspace.api.call import Call, Services
from podspace.api.query import Query
from podspace.kube import resources

_log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_BY_VERB: dict[str, Handler] = {
    "get": handlers_get.get,
    "list": handlers_list.list_objects,
    "watch": handlers_watch.watch,
    "create": handlers_create.create,
    "update": handlers_update.update,
    "patch": handlers_patch.patch,
    "delete": handlers_delete.delete,
    "deletecollection": handlers_delete.delete_collection,
}
_BY_SUBRESOURCE: dict[tuple[str, str], Handler] = {
    ("pods", "exec"): exec.exec_command,
    ("pods", "attach"): exec.attach,
    ("pods", "portforward"): exec.port_forward,
    ("pods", "log"): logs.log,
    ("pods", "binding"): pod_actions.bind,
    ("pods", "eviction"): pod_actions.evict,
    ("pods", "proxy"): proxy.pods,
    ("services", "proxy"): proxy.services,
    ("nodes", "proxy"): proxy.nodes,
    ("serviceaccounts", "token"): token_requests.create,
}
_LENS: dict[str, Handler] = {
    "audit": lens.audit,
    "changes": lens.changes,
    "content": lens.content,
    "files": lens.files,
    "processes": lens.processes,
    "signal": lens.signal,
    "why": lens.why,
}
_NOT_STORED: dict[str, Handler] = {
    "PodAudit": lens.review,
    "Binding": pod_actions.bind,
    "LocalSubjectAccessReview": reviews.subject_access_review,
    "SelfSubjectReview": reviews.subject_review,
    "SelfSubjectAccessReview": reviews.access_review,
    "SelfSubjectRulesReview": reviews.rules_review,
    "SubjectAccessReview": reviews.subject_access_review,
    "TokenReview": reviews.token_review,
}


class Dispatcher:
    """The callable that aiohttp's low-level server runs for each request."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, http: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(http, web.Request)
        try:
            return await self._answer(http)
        except routes.PageNotFound as error:
            return respond.text(str(error), code=404)
        except errors.PodspaceError as error:
            return _failed(http, error)
        except Exception:  # a request's supervisor: one bad request must not take the connection's others along
            _log.exception("%s %s failed", http.method, http.path)
            return _failed(http, errors.Internal("Internal Server Error: the server's log says more"))

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        path, _, raw_query = http.raw_path.partition("?")
        query = Query(raw_query)
        if path.startswith(authorization.PUBLIC_PATHS):
            return plain.serve(http, path, query)
        caller = identity.of(http.transport) or accounts.of(self._services, http)
        if "Impersonate-User" in http.headers or "Impersonate-Group" in http.headers or "Impersonate-Uid" in http.headers:
            caller = accounts.acting(self._services, http, caller)
        query.check_timeout()
        target = routes.parse(http.method, path, query.flag("watch"))
        if isinstance(target, routes.Target):
            return await self._resource(http, target, query, caller)
        authorization.require_path(caller, http.method, path)
        if target is None:
            return issuer.serve(http, path, self._services.tokens) or plain.serve(http, path, query)
        if http.method != "GET":
            raise errors.MethodNotAllowed(routes.NO_METHOD)
        return discovery.serve(http, target)

    async def _resource(self, http: web.Request, target: routes.Target, query: Query, caller: identity.Identity) -> web.StreamResponse:
        authorization.require(caller, target)
        call = Call(
            http=http,
            services=self._services,
            target=target,
            strategy=registry.of(target.resource if target.resource.stored else resources.PODS),
            query=query,
            form=negotiate.form(http.headers.get("Accept", "")),
            identity=caller,
        )
        try:
            return await _handler(target)(call)
        except errors.PodspaceError as error:
            if not call.warnings:
                raise
            return _failed(http, error, call.warnings)  # what is dropped or deprecated is told beside why it was all in vain


def _handler(target: routes.Target) -> Handler:
    if target.resource is resources.LENS:
        return _LENS[target.subresource]
    if target.resource.group == resources.METRICS_GROUP:
        return metrics.get if target.name else metrics.list_objects
    if not target.resource.stored:
        return _NOT_STORED[target.resource.kind]
    return _BY_SUBRESOURCE.get((target.resource.plural, target.subresource), _BY_VERB[target.verb])


def _failed(http: web.BaseRequest, error: errors.PodspaceError, warnings: Sequence[str] = ()) -> web.StreamResponse:
    """The Status of a failure, logged once if it is ours."""
    failure = status_http.translate(error)
    if failure.code >= 500:
        _log.warning("%s %s: %s", http.method, http.path, error)
    return respond.response(respond.body(failure.status), code=failure.code, headers=failure.headers, warnings=warnings)

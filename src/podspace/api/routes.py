"""What a request is about, read from its method, path and query: one parser instead of hundreds of routes.

Called by ``dispatch`` for every request. It knows the shape of Kubernetes paths and the table of resources; it must not know
handlers, objects or HTTP bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from podspace import errors
from podspace.kube import resources

NO_RESOURCE = "the server could not find the requested resource"
NO_METHOD = "the server does not allow this method on the requested resource"

# kubectl looks here for a kind that the schema does not have, and says of any other answer than a list that it "failed to check CRD"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

_GROUPS = frozenset(resource.group for resource in resources.RESOURCES)
_VERSIONS = frozenset((resource.group, resource.version) for resource in resources.RESOURCES)
_TOLD = frozenset((resource.group, resource.version) for resource in resources.RESOURCES if not resource.hidden)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "DELETE": "delete"}
_STREAMS = ("exec", "attach", "portforward")  # GET is how WebSocket clients create


class PageNotFound(errors.NotFound):
    """A path outside the API: answered in plain text, as Go's mux does."""

    def __init__(self) -> None:
        super().__init__("404 page not found\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A resource path, understood. ``namespace`` "" = all namespaces or a cluster-scoped resource; ``name`` "" = the collection."""

    resource: resources.Resource
    verb: str  # get list watch create update patch delete deletecollection
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def scope(self) -> str:
        """``in the namespace "x"`` or ``at the cluster scope``, for refusals."""
        return f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupVersion:
    """A discovery path: ``/apis`` ("", ""), ``/apis/<group>`` or ``/api/v1``, ``/apis/<group>/<version>``."""

    legacy: bool  # below /api
    group: str = ""
    version: str = ""


def parse(method: str, path: str, watch: bool) -> Target | GroupVersion | None:
    """Understand a raw path (no query). None = neither /api nor /apis, or DEFINITIONS.

    Raises: PageNotFound (no such group), NotFound (no such resource), MethodNotAllowed.
    """
    if "//" in path.partition("/proxy/")[0]:  # what is beyond is somebody else's path
        raise PageNotFound
    if path == DEFINITIONS:
        return None
    parts = [unquote(part) for part in path.strip("/").split("/")]
    match parts:
        case ["api"] | ["apis"]:
            return GroupVersion(legacy=parts[0] == "api")
        case ["api", version, *rest]:
            return _versioned(method, "", version, rest, watch)
        case ["apis", group] if group in _GROUPS:
            return GroupVersion(legacy=False, group=group)
        case ["apis", group, version, *rest] if group in _GROUPS:
            return _versioned(method, group, version, rest, watch)
        case ["apis", *_]:
            raise PageNotFound
        case _:
            return None


def _versioned(method: str, group: str, version: str, rest: list[str], watch: bool) -> Target | GroupVersion:
    if (group, version) not in _VERSIONS:
        raise errors.NotFound(NO_RESOURCE)
    if not rest:
        if (group, version) not in _TOLD:
            raise PageNotFound
        return GroupVersion(legacy=not group, group=group, version=version)
    if rest[0] == "watch" and len(rest) > 1:  # deprecated since 1.11, still served
        rest, watch, method = rest[1:], True, "WATCH" if method == "GET" else method
    namespace, rest = _namespace(rest)
    plural, name, subresource = [*rest, "", ""][:3]
    resource = resources.lookup(group, version, plural)
    if resource is None or (len(rest) > 3 and subresource != "proxy"):
        raise errors.NotFound(NO_RESOURCE)
    if (not resource.namespaced and namespace) or (resource.namespaced and name and not namespace):
        raise errors.NotFound(NO_RESOURCE)
    verb = _verb(method, resource, namespace, name, subresource, watch)
    return Target(resource=resource, verb=verb, namespace=namespace, name=name, subresource=subresource)


def _namespace(rest: list[str]) -> tuple[str, list[str]]:
    """``namespaces/x/pods/...`` is about pods in x; ``namespaces/x/status`` about the Namespace x."""
    if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in resources.NAMESPACES.subresources:
        return rest[1], rest[2:]
    return "", rest


def _verb(method: str, resource: resources.Resource, namespace: str, name: str, subresource: str, watch: bool) -> str:
    verb = _VERBS.get(method, "")
    if method == "WATCH":
        verb = "watch"
    elif subresource:
        return _subresource_verb(method, verb, resource, subresource)
    elif not name and verb == "get":
        verb = "watch" if watch else "list"
    elif not name and verb == "delete":
        verb = "deletecollection"
    on_collection = verb in ("create", "deletecollection")
    misplaced = bool(name) == on_collection if verb in ("create", "update", "patch", "delete", "deletecollection") else False
    if resource.hidden and verb not in resource.verbs:
        raise errors.NotFound(NO_RESOURCE)
    if verb not in resource.verbs or misplaced or (on_collection and resource.namespaced and not namespace):
        raise errors.MethodNotAllowed(NO_METHOD)
    return verb


def _subresource_verb(method: str, verb: str, resource: resources.Resource, subresource: str) -> str:
    known = resource.subresources.get(subresource)
    if known is None:
        raise errors.NotFound(NO_RESOURCE)
    if subresource == "proxy" and method in ("HEAD", "OPTIONS"):
        verb = "get"
    if verb not in known.verbs:
        raise errors.MethodNotAllowed(NO_METHOD)
    return "create" if subresource in _STREAMS and verb == "get" else verb

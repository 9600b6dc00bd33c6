"""Who may do what. There is one powerful right here, everything; whoever can make Pods is root on the machine.

Called by ``dispatch`` for each request and by ``reviews`` for questions about it. Administrators (``system:masters``, root on the socket)
may do everything. A ServiceAccount may what any user may: look around in discovery and ask about itself. More it gets by the annotation
``podspace.io/rights`` on the account: ``view`` to read its own namespace but for Secrets, ``admin`` for everything, which is root.
Source: RBAC's words; the default roles system:discovery, system:basic-user, system:public-info-viewer, view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from podspace import errors
from podspace.api.identity import Identity
from podspace.api.routes import Target
from podspace.kube import resources

RIGHTS_ANNOTATION = "podspace.io/rights"
RIGHTS = ("view", "admin")
PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/apis", "/openapi")
_ISSUER = ("/.well-known/openid-configuration", "/openid/v1/jwks")
_SELF = ("selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews")
_READ = ("get", "list", "watch")
_SECRET = ("secrets",)
_VIEWED = ("", "log", "status")

Verdict = Literal["", "view", "admin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What somebody wants to do, as reviews have it."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @classmethod
    def of(cls, target: Target) -> Attributes:
        return cls(
            verb=target.verb,
            resource=target.resource.plural,
            group=target.resource.group,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
        )


def allows(identity: Identity, wanted: Attributes) -> bool:
    """Whether this caller may do that to a resource."""
    if identity.is_admin:
        return True
    if wanted.resource in _SELF and wanted.verb == "create":
        return wanted.group in ("authentication.k8s.io", "authorization.k8s.io")
    if identity.rights != "view" or not wanted.namespace or wanted.namespace != identity.namespace:
        return False
    known = resources.lookup(wanted.group, "v1beta1" if wanted.group == resources.METRICS_GROUP else "v1", wanted.resource)
    return (
        wanted.verb in _READ
        and known is not None
        and (known.namespaced or known is resources.NAMESPACES)
        and known.group != resources.LENS_GROUP
        and wanted.resource not in _SECRET
        and wanted.subresource in _VIEWED
    )


def allows_path(identity: Identity, verb: str, path: str) -> bool:
    """Whether this caller may do that to a path that is no resource."""
    if identity.is_admin:
        return True
    if verb != "get":
        return False
    if path in PUBLIC_PATHS or any(path == prefix or path.startswith(f"{prefix}/") for prefix in _DISCOVERY):
        return True
    return path in _ISSUER and "system:serviceaccounts" in identity.groups


def require(identity: Identity, target: Target) -> None:
    """Raise Forbidden, worded as RBAC words it, unless the caller may do it."""
    if allows(identity, Attributes.of(target)):
        return
    resource = target.resource
    full = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
    subject = f'{resource.qualified} "{target.name}"' if target.name else resource.qualified
    raise errors.Forbidden(
        f'{subject} is forbidden: User "{identity.name}" cannot {target.verb} resource "{full}" '
        f'in API group "{resource.group}" {target.scope}',
        resource=resource.plural,
        name=target.name,
    )


def require_path(identity: Identity, method: str, path: str) -> None:
    """As ``require``, for what is not a resource."""
    if not allows_path(identity, method.lower(), path):
        raise errors.Forbidden(f'forbidden: User "{identity.name}" cannot {method.lower()} path "{path}"')

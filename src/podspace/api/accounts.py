"""ServiceAccounts as callers: from a bearer token to an identity, as long as the account and what the token is bound to live.

Called by ``dispatch`` when a request brings a token, and by ``reviews``. The signature is ``podspace.tokens``' business; here is the store.
Source: kubernetes pkg/serviceaccount claims.go (what revokes a token), authenticator extras.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors, tokens
from podspace.api import authorization, metadata
from podspace.api.call import Services
from podspace.api.identity import ADMIN_GROUP, Identity
from podspace.kube import times
from podspace.kube.json import JSON

_BEARER = "bearer "
_GONE_SECONDS = 60  # a deleted object's tokens hold on for that long, so that it can end in good order
_PREFIX = "system:serviceaccount:"


def of(services: Services, http: web.BaseRequest) -> Identity:
    """Who a request's token says it is.  Raises: Unauthorized."""
    header = http.headers.get("Authorization", "")
    if services.tokens is None or header[: len(_BEARER)].lower() != _BEARER:
        raise errors.Unauthorized("Unauthorized")
    try:
        return identify(services, header[len(_BEARER) :].strip(), (tokens.DEFAULT_AUDIENCE,))
    except errors.Unauthorized as error:
        raise errors.Unauthorized("Unauthorized") from error


def identify(services: Services, token: str, audiences: tuple[str, ...]) -> Identity:
    """The bearer of a token.  Raises: Unauthorized with the reason, which is for administrators only."""
    if services.tokens is None:
        raise errors.Unauthorized("this server knows no tokens")
    claims = services.tokens.verify(token, now=services.now(), audiences=audiences)
    account = _bound(services, "serviceaccounts", claims.namespace, claims.account)
    for resource, reference in (("pods", claims.pod), ("secrets", claims.secret)):
        if reference is not None:
            _bound(services, resource, claims.namespace, reference)
    if claims.node is not None and claims.pod is None:
        _bound(services, "nodes", "", claims.node)
    return Identity(
        name=claims.username,
        groups=tokens.groups(claims.namespace),
        uid=claims.account.uid,
        extra=_extra(claims),
        namespace=claims.namespace,
        rights=_rights(account),
    )


def acting(services: Services, http: web.BaseRequest, caller: Identity) -> Identity:
    """Whom the caller acts as: itself, or with ``kubectl --as`` somebody else, which administrators may.  Raises: Forbidden, BadRequest."""
    user, groups = http.headers.get("Impersonate-User", ""), tuple(http.headers.getall("Impersonate-Group", []))
    if not user:
        if groups or "Impersonate-Uid" in http.headers:
            raise errors.BadRequest("requested [] without impersonating a user name")
        return caller
    if not caller.is_admin:
        raise errors.Forbidden(
            f'users "{user}" is forbidden: User "{caller.name}" cannot impersonate resource "users" in API group "" at the cluster scope',
            resource="users",
            name=user,
        )
    if not groups and user.startswith(_PREFIX):
        groups = tokens.groups(user.removeprefix(_PREFIX).partition(":")[0])
    everybody = () if "system:authenticated" in groups else ("system:authenticated",)
    return named(services, user, (*groups, *everybody), http.headers.get("Impersonate-Uid", ""))


def named(services: Services, user: str, groups: tuple[str, ...], uid: str = "") -> Identity:
    """A subject that is only spoken of, as in a SubjectAccessReview."""
    namespace, _, account = user.removeprefix(_PREFIX).partition(":") if user.startswith(_PREFIX) else ("", "", "")
    found = services.store.get("serviceaccounts", namespace, account) if account else None
    return Identity(
        name=user, groups=groups, uid=uid, namespace=namespace, rights=_rights(found) if found and ADMIN_GROUP not in groups else ""
    )


def _rights(account: JSON) -> str:
    given = (metadata.of(account).get("annotations") or {}).get(authorization.RIGHTS_ANNOTATION, "")
    return given if given in authorization.RIGHTS else ""


def _bound(services: Services, resource: str, namespace: str, reference: tokens.Reference) -> JSON:
    """The object a token rests on.  Raises: Unauthorized when it is gone, another of its name, or deleted for a while."""
    obj = services.store.get(resource, namespace, reference.name)
    if obj is None:
        raise errors.Unauthorized(f"{resource} {namespace}/{reference.name} has been deleted")
    fields = metadata.of(obj)
    if fields.get("uid") != reference.uid:
        raise errors.Unauthorized(f"{resource} {namespace}/{reference.name}: the UID does not match: it was deleted and made again")
    deleted = fields.get("deletionTimestamp")
    if deleted and services.now() > times.parse(deleted) + _GONE_SECONDS:
        raise errors.Unauthorized(f"{resource} {namespace}/{reference.name} has been deleted")
    return obj


def _extra(claims: tokens.Claims) -> dict[str, tuple[str, ...]]:
    found = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.token_id}",)}
    for kind, reference in (("node", claims.node), ("pod", claims.pod)):
        if reference is not None:
            found[f"authentication.kubernetes.io/{kind}-name"] = (reference.name,)
            found[f"authentication.kubernetes.io/{kind}-uid"] = (reference.uid,)
    return dict(sorted(found.items()))

"""Who am I, what may I, who is that: the reviews of authentication and authorization.

Called by ``dispatch``. The answers are ``authorization``'s and ``accounts``'. About itself anybody may ask.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors, tokens
from podspace.api import accounts, authorization
from podspace.api.call import Call
from podspace.api.identity import Identity
from podspace.kube.json import JSON

_AUTHORIZATION = "authorization.k8s.io"
_OPEN_URLS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_ISSUER_URLS = ["/.well-known", "/.well-known/*"]
_DISCOVERY_URLS = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"]
_ANYBODY = [
    {
        "verbs": ["create"],
        "apiGroups": [_AUTHORIZATION],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
]
_VIEW = [
    {
        "verbs": ["get", "list", "watch"],
        "apiGroups": [""],
        "resources": [
            *("configmaps", "events", "limitranges", "namespaces", "persistentvolumeclaims", "pods", "pods/log", "pods/status"),
            *("resourcequotas", "serviceaccounts", "services"),
        ],
    },
    {"verbs": ["get", "list", "watch"], "apiGroups": ["coordination.k8s.io", "events.k8s.io"], "resources": ["*"]},
]


async def access_review(call: Call) -> web.StreamResponse:
    """``kubectl auth can-i create pods``.  Raises: Invalid unless exactly one of the two attribute sets is there."""
    review = await _decoded(call, "SelfSubjectAccessReview")
    spec = review.get("spec") or {}
    _check_attributes(spec)
    return call.answer(_answered(call, {"spec": spec, "status": {"allowed": _allowed(call.identity, spec)}}), code=201)


def _check_attributes(spec: JSON) -> None:
    attributes, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (attributes is None) == (path is None):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        shown = "null" if attributes is None else "{}"
        cause = errors.Cause(reason="FieldValueInvalid", message=f"Invalid value: {shown}: {message}", field="spec.resourceAttributes")
        raise errors.Invalid("", "", [cause], group=_AUTHORIZATION)


def _allowed(subject: Identity, spec: JSON) -> bool:
    """The answer to a review's spec, of which one half is there."""
    path: JSON | None = spec.get("nonResourceAttributes")
    if path is not None:
        return authorization.allows_path(subject, path.get("verb") or "", path.get("path") or "")
    asked: JSON = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "resource", "subresource", "namespace", "name")
    return authorization.allows(subject, authorization.Attributes(**{name: asked.get(name) or "" for name in names}))


async def rules_review(call: Call) -> web.StreamResponse:
    """``kubectl auth can-i --list``."""
    review = await _decoded(call, "SelfSubjectRulesReview")
    resource_rules, path_rules = (
        list(_ANYBODY),
        [{"verbs": ["get"], "nonResourceURLs": urls} for urls in (_DISCOVERY_URLS, _ISSUER_URLS, _OPEN_URLS)],
    )
    if call.identity.rights == "view" and (review.get("spec") or {}).get("namespace") == call.identity.namespace:
        resource_rules += _VIEW
    if call.identity.is_admin:
        resource_rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        path_rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    status = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
    return call.answer(_answered(call, {"spec": {}, "status": status}), code=201)


async def subject_review(call: Call) -> web.StreamResponse:
    """``kubectl auth whoami``."""
    await _decoded(call, "SelfSubjectReview")
    answer = _answered(call, {"status": {"userInfo": _user(call.identity)}})
    answer["metadata"] = {"creationTimestamp": call.services.timestamp()}
    return call.answer(answer, code=201)


async def token_review(call: Call) -> web.StreamResponse:
    """Whether a token is good, and whose it is."""
    review = await _decoded(call, "TokenReview")
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise errors.BadRequest("token is required for TokenReview in authentication")
    asked = tuple(spec.get("audiences") or (tokens.DEFAULT_AUDIENCE,))
    try:
        found = accounts.identify(call.services, spec["token"], asked)
    except errors.Unauthorized as error:
        status: JSON = {"user": {}, "error": f"[invalid bearer token, {error}]"}
    else:
        status = {"authenticated": True, "user": _user(found), "audiences": _heard(call, spec["token"], asked)}
    return call.answer(_answered(call, {"spec": spec, "status": status}), code=201)


def _heard(call: Call, token: str, asked: tuple[str, ...]) -> list[str]:
    """Those of the audiences asked for that the token is for."""
    assert call.services.tokens is not None
    claims = call.services.tokens.verify(token, now=call.services.now(), audiences=asked)
    return [audience for audience in claims.audiences if audience in asked]


async def subject_access_review(call: Call) -> web.StreamResponse:
    """Whether somebody else may do something: SubjectAccessReview, and LocalSubjectAccessReview in one namespace."""
    kind = call.target.resource.kind
    review = await _decoded(call, kind)
    spec: JSON = review.get("spec") or {}
    _check_attributes(spec)
    if not spec.get("user") and not spec.get("groups"):
        message = 'Invalid value: "": at least one of user or group must be specified'
        raise errors.Invalid("", "", [errors.Cause(reason="FieldValueInvalid", message=message, field="spec.user")], group=_AUTHORIZATION)
    attributes: JSON | None = spec.get("resourceAttributes")
    if call.target.namespace and (attributes is None or attributes.get("namespace") != call.target.namespace):
        message = f'Invalid value: "{(attributes or {}).get("namespace") or ""}": must match metadata.namespace'
        cause = errors.Cause(reason="FieldValueInvalid", message=message, field="spec.resourceAttributes.namespace")
        raise errors.Invalid(kind, "", [cause], group=_AUTHORIZATION)
    subject = accounts.named(call.services, spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")
    answer = _answered(call, {"spec": spec, "status": {"allowed": _allowed(subject, spec)}})
    if call.target.namespace:
        answer["metadata"] = {"namespace": call.target.namespace}
    return call.answer(answer, code=201)


def _user(identity: Identity) -> JSON:
    """UserInfo."""
    user: JSON = {"username": identity.name}
    if identity.uid:
        user["uid"] = identity.uid
    user["groups"] = list(identity.groups)
    if identity.extra:
        user["extra"] = {key: list(values) for key, values in identity.extra.items()}
    return user


async def _decoded(call: Call, kind: str) -> JSON:
    from podspace.kube import decode

    return decode.decode_options(await call.body(), call.content_type, kind)


def _answered(call: Call, content: JSON) -> JSON:
    resource = call.target.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}, **content}

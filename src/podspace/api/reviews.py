"""Who am I, what may I: the SelfSubject reviews; and tokens for ServiceAccounts, which are refused as long as nobody signs them.

Called by ``dispatch``. There are two kinds of callers: administrators, who may do everything, and the rest, who may ask this.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors
from podspace.api.call import Call
from podspace.kube.json import JSON

_LEAST_TOKEN_SECONDS = 600
_OPEN_URLS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_ANYBODY = [
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
]


async def access_review(call: Call) -> web.StreamResponse:
    """``kubectl auth can-i create pods``.  Raises: Invalid unless exactly one of the two attribute sets is there."""
    review = await _decoded(call, "SelfSubjectAccessReview")
    spec = review.get("spec") or {}
    attributes, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (attributes is None) == (path is None):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        shown = "null" if attributes is None else "{}"
        cause = errors.Cause(reason="FieldValueInvalid", message=f"Invalid value: {shown}: {message}", field="spec.resourceAttributes")
        raise errors.Invalid("", "", [cause], group="authorization.k8s.io")
    allowed = call.identity.is_admin
    if path is not None:
        allowed = allowed or path.get("path") in _OPEN_URLS
    return call.answer(_answered(call, {"spec": spec, "status": {"allowed": allowed}}), code=201)


async def rules_review(call: Call) -> web.StreamResponse:
    """``kubectl auth can-i --list``."""
    await _decoded(call, "SelfSubjectRulesReview")
    resource_rules, path_rules = list(_ANYBODY), [{"verbs": ["get"], "nonResourceURLs": _OPEN_URLS}]
    if call.identity.is_admin:
        resource_rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        path_rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    status = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
    return call.answer(_answered(call, {"spec": {}, "status": status}), code=201)


async def subject_review(call: Call) -> web.StreamResponse:
    """``kubectl auth whoami``."""
    await _decoded(call, "SelfSubjectReview")
    user = {"username": call.identity.name, "groups": list(call.identity.groups)}
    answer = _answered(call, {"status": {"userInfo": user}})
    answer["metadata"] = {"creationTimestamp": call.services.timestamp()}
    return call.answer(answer, code=201)


async def token(call: Call) -> web.StreamResponse:
    """``kubectl create token``.  Raises: NotFound, Invalid, Unsupported: there is no signer."""
    request = await _decoded(call, "TokenRequest")
    seconds = (request.get("spec") or {}).get("expirationSeconds")
    if seconds is not None and seconds < _LEAST_TOKEN_SECONDS:
        message = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        cause = errors.Cause(reason="FieldValueInvalid", message=message, field="spec.expirationSeconds")
        raise errors.Invalid("TokenRequest", "", [cause], group="authentication.k8s.io")
    call.existing()
    raise errors.Unsupported("this server does not sign ServiceAccount tokens: nothing here would accept one")


async def _decoded(call: Call, kind: str) -> JSON:
    from podspace.kube import decode

    return decode.decode_options(await call.body(), call.content_type, kind)


def _answered(call: Call, content: JSON) -> JSON:
    resource = call.target.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}, **content}

"""``kubectl create token``: a token for a ServiceAccount, for some audiences and some time, bound to a Pod, Secret or Node if asked.

Called by ``dispatch`` for serviceaccounts/X/token.
Source: kubernetes pkg/registry/core/serviceaccount/storage/token.go, as seen on the wire.
"""

from __future__ import annotations

import base64

from aiohttp import web

from podspace import errors, tokens
from podspace.api import metadata, query
from podspace.api.call import Call
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.tokens import Reference

_GROUP = "authentication.k8s.io"
_FIELD = "spec.expirationSeconds"
_UID_ANNOTATION = "kubernetes.io/service-account.uid"
_SECRET_SECONDS = 10 * 365 * 86400  # a real server's last for ever


async def create(call: Call) -> web.StreamResponse:
    """Answer 201 with the token.  Raises: NotFound, Invalid, BadRequest, Conflict, Unsupported without a signer."""
    from podspace.kube import decode

    options = query.write_options(call.query, "CreateOptions")
    request = decode.decode_options(await call.body(), call.content_type, "TokenRequest")
    _check_name(call, request)
    spec: JSON = request.get("spec") or {}
    seconds = spec["expirationSeconds"] if spec.get("expirationSeconds") is not None else tokens.DEFAULT_SECONDS
    _check_duration(seconds)
    if call.services.tokens is None:
        raise errors.Unsupported("this server was started without a key to sign tokens with")
    account = call.existing()
    audiences = list(spec.get("audiences") or (tokens.DEFAULT_AUDIENCE,))
    bound = _bound(call, spec.get("boundObjectRef"))
    now = call.services.now()
    own = metadata.of(account)
    token, claims = call.services.tokens.issue(
        call.target.namespace,
        Reference(name=call.target.name, uid=own["uid"]),
        now=now,
        seconds=seconds,
        audiences=audiences,
        **bound,
    )
    fields = {"name": call.target.name, "namespace": call.target.namespace, "uid": own["uid"], "creationTimestamp": times.rfc3339(now)}
    status = {"token": "" if options.dry_run else token, "expirationTimestamp": times.rfc3339(claims.expires_at)}
    answer: JSON = {"kind": "TokenRequest", "apiVersion": f"{_GROUP}/v1", "metadata": fields}
    answer["spec"] = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef")}
    return call.answer({**answer, "status": status}, code=201)


def _check_name(call: Call, request: JSON) -> None:
    given = metadata.of(request)
    if given.get("name") not in (None, "", call.target.name):
        raise errors.BadRequest("name in URL does not match name in TokenRequest object")
    if given.get("namespace") not in (None, "", call.target.namespace):
        raise errors.BadRequest("namespace in URL does not match namespace in TokenRequest object")


def _check_duration(seconds: int) -> None:
    why = ""
    if seconds < tokens.LEAST_SECONDS:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > tokens.MOST_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        cause = errors.Cause(reason="FieldValueInvalid", message=f"Invalid value: {seconds}: {why}", field=_FIELD)
        raise errors.Invalid("TokenRequest", "", [cause], group=_GROUP)


def _bound(call: Call, reference: JSON | None) -> dict[str, Reference]:
    """What the token is bound to, and the node of a Pod.  Raises: NotFound, BadRequest, Conflict."""
    if not reference:
        return {}
    kind, version, name = reference.get("kind") or "", reference.get("apiVersion") or "", reference.get("name") or ""
    if version != "v1" or kind not in ("Pod", "Secret", "Node"):
        group, _, version = version.rpartition("/")
        raise errors.BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    plural = kind.lower() + "s"
    obj = call.store.get(plural, "" if kind == "Node" else call.target.namespace, name)
    if obj is None:
        raise errors.NotFound.of(plural, name)
    uid = metadata.of(obj)["uid"]
    if kind == "Pod" and ((obj.get("spec") or {}).get("serviceAccountName") or "default") != call.target.name:
        raise errors.BadRequest(
            f'cannot bind token for serviceaccount "{call.target.name}" to pod running with different serviceaccount name.'
        )
    if reference.get("uid") not in (None, "", uid):
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object reference ({reference["uid"]}) does not match '
            "the UID in record. The object might have been deleted and then recreated",
            resource=kind,
            name=name,
        )
    found = {kind.lower(): Reference(name=name, uid=uid)}
    node = call.store.get("nodes", "", (obj.get("spec") or {}).get("nodeName") or "") if kind == "Pod" else None
    return found | ({"node": Reference(name=metadata.name_of(node), uid=metadata.of(node)["uid"])} if node else {})


def fill_secret(call: Call, secret: JSON) -> None:
    """Put a token into a new Secret of the type that asks for one: good as long as the Secret and its account are there. In place."""
    from podspace.kube import validation_kinds

    fields = metadata.of(secret)
    name = (fields.get("annotations") or {}).get(validation_kinds.TOKEN_ANNOTATION)
    if secret.get("type") != validation_kinds.TOKEN_TYPE or not name or call.services.tokens is None:
        return
    account = call.store.get("serviceaccounts", call.target.namespace, name)
    if account is None:
        return  # its token would be good for nothing
    own = Reference(name=name, uid=metadata.of(account)["uid"])
    bound = Reference(name=metadata.name_of(secret), uid=fields["uid"])
    token, _ = call.services.tokens.issue(call.target.namespace, own, now=call.services.now(), seconds=_SECRET_SECONDS, secret=bound)
    bundle = call.store.get("configmaps", call.target.namespace, "kube-root-ca.crt") or {}
    said = {"ca.crt": (bundle.get("data") or {}).get("ca.crt", ""), "namespace": call.target.namespace, "token": token}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in said.items() if text}
    secret["data"] = dict(sorted({**(secret.get("data") or {}), **encoded}.items()))
    fields["annotations"] = dict(sorted({**fields["annotations"], _UID_ANNOTATION: own.uid}.items()))

"""Binding and eviction: POSTs to a Pod that are answered with a Status.

Called by ``dispatch``.
Source: kubernetes pkg/registry/core/pod/storage, as seen on the wire.
"""

from __future__ import annotations

from aiohttp import web

from podspace import errors
from podspace.api import deletion, metadata, query, status_http, strategy_pod
from podspace.api.call import Call
from podspace.kube.json import JSON

_EVICTED = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None}


async def bind(call: Call) -> web.StreamResponse:
    """Assign a Pod to a node: ``pods/X/binding``, or ``bindings`` with the name in the body.  Raises: Conflict, NotFound, Internal."""
    from podspace.kube import decode

    options = query.write_options(call.query, "CreateOptions")
    binding = decode.decode_options(await call.body(), call.content_type, "Binding")
    name = call.target.name or metadata.name_of(binding)
    given = metadata.name_of(binding)
    if given and given != name:
        raise errors.BadRequest("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    _check_target(name, target)

    def change(pod: JSON) -> JSON:
        _check_bindable(pod, name)
        return strategy_pod.bound(pod, target["name"], call.services.timestamp())

    if options.dry_run:
        change(_pod(call, name))
    else:
        await call.store.mutate("pods", call.target.namespace, name, change)
    return call.answer(status_http.success(code=201), code=201)


def _check_target(name: str, target: JSON) -> None:
    causes = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(
            errors.Cause(
                reason="FieldValueNotSupported",
                message=f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"',
                field="target.kind",
            )
        )
    if not target.get("name"):
        causes.append(errors.Cause(reason="FieldValueRequired", message="Required value", field="target.name"))
    if causes:  # the API server wraps the list in a plain error
        sentences = [cause.sentence() for cause in causes]
        raise errors.Internal(sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]")


def _check_bindable(pod: JSON, name: str) -> None:
    spec = pod.get("spec") or {}
    why = ""
    if metadata.is_terminating(pod):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise errors.Conflict(f'Operation cannot be fulfilled on pods/binding "{name}": {why}', resource="pods/binding", name=name)


async def evict(call: Call) -> web.StreamResponse:
    """Mark a Pod as disrupted and delete it gracefully. There are no disruption budgets to ask.  Raises: NotFound, BadRequest."""
    from podspace.kube import decode

    query.write_options(call.query, "CreateOptions")
    eviction = decode.decode_options(await call.body(), call.content_type, "Eviction")
    if metadata.name_of(eviction) != call.target.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    options = deletion.options_of(eviction.get("deleteOptions") or {})
    call.existing()
    if not options.dry_run and not call.query.all("dryRun"):
        await call.store.mutate(*call.path, lambda pod: _disrupted(call, pod))
        await deletion.delete(call.services, call.strategy, call.target.namespace, call.target.name, options)
    return call.answer(status_http.success(code=201), code=201)


def _disrupted(call: Call, pod: JSON) -> JSON | None:
    """Tell why the Pod goes, if anybody will see it go."""
    if call.strategy.grace_seconds(pod, None) == 0 or metadata.is_terminating(pod):
        return None
    words = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    return strategy_pod.with_condition(pod, {**_EVICTED, "lastTransitionTime": call.services.timestamp(), **words})


def _pod(call: Call, name: str) -> JSON:
    pod = call.store.get("pods", call.target.namespace, name)
    if pod is None:
        raise errors.NotFound.of("pods", name)
    return pod

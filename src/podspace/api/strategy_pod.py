"""How Pods are written: status reset, QoS class, generation, ephemeral containers, graceful deletion.

Called through ``registry`` by the write handlers. Pure. It must not know who runs Pods.
Source: kubernetes pkg/registry/core/pod/strategy.go, as seen on the wire.
"""

from __future__ import annotations

from typing import Any

from podspace.api import metadata
from podspace.api.strategy import Strategy
from podspace.kube import schema
from podspace.kube.json import JSON

DEFAULT_GRACE_SECONDS = 30
_RESIZABLE = ("resources", "resizePolicy")
_GATED = "Scheduling is blocked due to non-empty scheduling gates"


class PodStrategy(Strategy):
    answers_object_on_delete = True
    status_is_separate = True
    counts_generation = True

    def prepare_create(self, obj: JSON) -> None:
        """Pending, with its QoS class; anything a client said about status is forgotten."""
        from podspace.kube import label_keys, qos

        super().prepare_create(obj)
        label_keys.merge(obj)
        spec = obj.get("spec") or {}
        status: JSON = {"phase": "Pending"}
        if spec.get("schedulingGates"):
            created = metadata.of(obj).get("creationTimestamp")
            why = {"reason": "SchedulingGated", "message": _GATED}
            status["conditions"] = [
                {"type": "PodScheduled", "status": "False", "lastProbeTime": None, "lastTransitionTime": created, **why}
            ]
        status["qosClass"] = str(qos.qos_class(spec))
        obj.pop("status", None)
        obj["status"] = status

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        """/status may not touch the spec, /ephemeralcontainers and /resize nothing but what they are for."""
        if subresource == "ephemeralcontainers":
            _only_ephemeral(new, old)
        elif subresource == "resize":
            _only_resources(new, old)
        super().prepare_update(new, old, subresource)
        if subresource == "status":
            _complete_status(new, old)

    def grace_seconds(self, obj: JSON, asked: int | None) -> int | None:
        """Nothing runs for an unscheduled or finished Pod: it goes at once."""
        spec = obj.get("spec") or {}
        grace = asked if asked is not None else spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        return 1 if grace < 0 else int(grace)


def bound(pod: JSON, node: str, now: str) -> JSON:
    """A copy of the Pod that is assigned to a node."""
    conditions = [condition for condition in _conditions(pod) if condition.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status = {**(pod.get("status") or {}), "conditions": [*conditions, scheduled]}
    spec = {**pod["spec"], "nodeName": node}
    return {**pod, "spec": schema.ordered("PodSpec", spec), "status": schema.ordered("PodStatus", status)}


def with_condition(pod: JSON, condition: JSON) -> JSON:
    """A copy of the Pod with one condition set."""
    others = [old for old in _conditions(pod) if old.get("type") != condition["type"]]
    return {**pod, "status": schema.ordered("PodStatus", {**(pod.get("status") or {}), "conditions": [*others, condition]})}


def _conditions(pod: JSON) -> list[JSON]:
    return list((pod.get("status") or {}).get("conditions") or ())


def _only_ephemeral(new: JSON, old: JSON) -> None:
    wanted: Any = (new.get("spec") or {}).get("ephemeralContainers")
    spec = dict(old.get("spec") or {})
    spec.pop("ephemeralContainers", None)
    if wanted:
        spec = schema.ordered("PodSpec", {**spec, "ephemeralContainers": wanted})
    new.clear()
    new.update(old)
    new["spec"] = spec
    new["metadata"] = dict(old["metadata"])


def _only_resources(new: JSON, old: JSON) -> None:
    """Containers may not come, go or change places here either: what does is left for validation to find."""
    spec = dict(old.get("spec") or {})
    wanted: JSON = new.get("spec") or {}
    for field in ("initContainers", "containers"):
        known = {container.get("name"): container for container in spec.get(field) or ()}
        resized = [_resized(known.get(container.get("name")), container) for container in wanted.get(field) or ()]
        if resized or field in spec:
            spec[field] = resized
    spec.pop("resources", None)
    if "resources" in wanted:
        spec = schema.ordered("PodSpec", spec | {"resources": wanted["resources"]})
    new.clear()
    new.update(old)
    new["spec"] = spec
    new["metadata"] = dict(old["metadata"])


def _resized(container: JSON | None, wanted: JSON) -> JSON:
    if container is None:
        return wanted
    kept = {name: value for name, value in container.items() if name not in _RESIZABLE}
    return schema.ordered("Container", kept | {name: wanted[name] for name in _RESIZABLE if name in wanted})


def _complete_status(new: JSON, old: JSON) -> None:
    """podIP and podIPs[0] are one fact told twice; a QoS class that is not told stays."""
    status = dict(new.get("status") or {})
    before = old.get("status") or {}
    if before.get("qosClass"):
        status.setdefault("qosClass", before["qosClass"])
    first = [entry.get("ip") for entry in status.get("podIPs") or ()][:1]
    if status.get("podIP") and not first:
        status["podIPs"] = [{"ip": status["podIP"]}]
    elif first and not status.get("podIP"):
        status["podIP"] = first[0]
    new["status"] = schema.ordered("PodStatus", status)
    for field in ("ownerReferences", "deletionTimestamp"):
        before_it = metadata.of(old).get(field)
        if before_it is not None:
            metadata.of(new)[field] = before_it
        else:
            metadata.of(new).pop(field, None)

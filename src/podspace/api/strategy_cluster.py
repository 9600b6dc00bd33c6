"""How Namespaces, Nodes and Events are written.

Called through ``registry`` by the write handlers. Pure. Emptying a deleted Namespace is the work of ``namespaces``.
"""

from __future__ import annotations

from podspace import errors
from podspace.api import events_view, metadata
from podspace.api.strategy import Strategy
from podspace.kube import resources
from podspace.kube.json import JSON

NAME_LABEL = "kubernetes.io/metadata.name"
UNDELETABLE = ("default", "kube-system", "kube-public")


class NamespaceStrategy(Strategy):
    answers_object_on_delete = True
    status_is_separate = True

    def prepare_create(self, obj: JSON) -> None:
        """Active, labelled with its own name, kept by the "kubernetes" finalizer until it is empty."""
        super().prepare_create(obj)
        self._label(obj)
        spec = dict(obj.get("spec") or {})
        finalizers = list(spec.get("finalizers") or ())
        spec["finalizers"] = finalizers if "kubernetes" in finalizers else [*finalizers, "kubernetes"]
        obj["spec"] = spec
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        """spec.finalizers change through /finalize only, the name's label never."""
        if subresource != "finalize":
            new["spec"] = old.get("spec") or {}
        else:
            before = metadata.of(old)
            new["metadata"] = {**before, "finalizers": before["finalizers"]} if "finalizers" in before else dict(before)
        super().prepare_update(new, old, subresource)
        self._label(new)

    def check_delete(self, obj: JSON) -> None:
        name = metadata.name_of(obj)
        if name in UNDELETABLE:
            raise errors.Forbidden(f'namespaces "{name}" is forbidden: this namespace may not be deleted', resource="namespaces", name=name)

    def must_stay(self, obj: JSON) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def prepare_delete(self, obj: JSON) -> None:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def _label(self, obj: JSON) -> None:
        labels = dict(metadata.of(obj).get("labels") or {})
        labels[NAME_LABEL] = metadata.name_of(obj)
        metadata.of(obj)["labels"] = labels
        metadata.order(obj)


class NodeStrategy(Strategy):
    status_is_separate = True

    def prepare_create(self, obj: JSON) -> None:
        """A node is the one kind whose status may come along: kubelets register so."""
        super().prepare_create(obj)
        spec = obj.setdefault("spec", {})
        taints = list(spec.get("taints") or ())
        if not any(taint.get("key") == "node.kubernetes.io/not-ready" for taint in taints):
            spec["taints"] = [*taints, {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


class EventStrategy(Strategy):
    durable = False


class EventViewStrategy(EventStrategy):
    """events.k8s.io/v1: stored as core Events."""

    def __init__(self, resource: resources.Resource) -> None:
        super().__init__(resource)
        self.key = resources.EVENTS.qualified
        self.model = resources.EVENTS.kind
        self.stored_version = resources.EVENTS.api_version

    def incoming(self, obj: JSON) -> JSON:
        return events_view.to_core(obj)

    def outgoing(self, obj: JSON) -> JSON:
        return events_view.from_core(obj)

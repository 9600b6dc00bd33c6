"""What differs between kinds when they are written: the base class, and the plain kinds that need no more.

A strategy is asked by the create, update, patch and delete handlers. It prepares objects and says how they go; it never touches
the store or HTTP. Pods, Namespaces, Nodes and Events have their own in ``strategy_*``; ``registry`` tells which is whose.
"""

from __future__ import annotations

from typing import Any

from podspace import errors
from podspace.api import metadata
from podspace.kube import resources, schema, services
from podspace.kube.json import JSON


class Strategy:
    """Defaults that fit ConfigMaps, Secrets, ServiceAccounts, Leases."""

    answers_object_on_delete = False
    status_is_separate = False  # spec by the main path, status by /status
    counts_generation = False
    durable = True  # False: whoever wrote it would write it again after a power loss

    def __init__(self, resource: resources.Resource) -> None:
        self.resource = resource
        self.key = resource.qualified
        self.model = schema.model_of(resource.kind, resource.group)  # of the stored form
        self.stored_kind = resource.kind
        self.stored_version = resource.api_version

    @property
    def serves_as_stored(self) -> bool:
        """What is stored can be sent as it is."""
        return type(self).outgoing is Strategy.outgoing

    def incoming(self, obj: JSON) -> JSON:
        """The stored form of what a client sent."""
        return obj

    def outgoing(self, obj: JSON) -> JSON:
        """The served form of what is stored; may be the same object."""
        return obj

    def prepare_create(self, obj: JSON) -> None:
        """Reset what a client may not set on creation. Called after defaulting and admission, before validation."""
        if self.counts_generation:
            metadata.of(obj)["generation"] = 1

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        """Put back what this path may not change; called before validation. ``new`` has the old metadata's server-owned fields."""
        if self.status_is_separate:
            _swap(new, old, "spec" if subresource == "status" else "status")
        if self.counts_generation and new.get("spec") != old.get("spec"):
            metadata.of(new)["generation"] = int(metadata.of(old).get("generation") or 0) + 1

    def check_delete(self, obj: JSON) -> None:
        """Raise Forbidden if this object may not be deleted."""

    def grace_seconds(self, obj: JSON, asked: int | None) -> int | None:
        """How long the object stays after a delete; None = this kind knows no grace, it goes at once."""
        return None

    def must_stay(self, obj: JSON) -> bool:
        """Something other than metadata.finalizers keeps a deleted object (a Namespace's spec.finalizers)."""
        return False

    def prepare_delete(self, obj: JSON) -> None:
        """Change a copy that stays for a while after the delete."""


class StatusStrategy(Strategy):
    """Kinds whose status is written by its own path."""

    status_is_separate = True


class ServiceStrategy(StatusStrategy):
    answers_object_on_delete = True

    def prepare_create(self, obj: JSON) -> None:
        super().prepare_create(obj)
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        if not subresource:
            services.keep(new, old)
        super().prepare_update(new, old, subresource)


class LeaseStrategy(Strategy):
    durable = False


class QuotaStrategy(StatusStrategy):
    def prepare_create(self, obj: JSON) -> None:
        """What is used is counted here, not told by clients."""
        super().prepare_create(obj)
        obj["status"] = {}


class ServiceAccountStrategy(Strategy):
    answers_object_on_delete = True

    def prepare_create(self, obj: JSON) -> None:
        super().prepare_create(obj)
        _only_names(obj)

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        _only_names(new)


def immutable(kind: str, name: str, field: str, message: str) -> errors.Invalid:
    """A refusal to change one field."""
    return errors.Invalid(kind, name, [errors.Cause(reason="FieldValueForbidden", message=f"Forbidden: {message}", field=field)])


def _only_names(account: JSON) -> None:
    """Of the Secrets an account lists nothing else is kept: they are of its namespace."""
    if account.get("secrets"):
        account["secrets"] = [{"name": secret["name"]} if secret.get("name") else {} for secret in account["secrets"]]


def _swap(new: JSON, old: JSON, field: str) -> None:
    """Take one top-level field from the old object, keeping its place."""
    before: Any = old.get(field)
    if before is None:
        new.pop(field, None)
    else:
        new[field] = before

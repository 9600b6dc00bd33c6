"""How PersistentVolumes and PersistentVolumeClaims are written: pending at first, and kept from vanishing while they are used.

Called through ``registry`` by the write handlers. Pure. The finalizers are what the StorageObjectInUseProtection plugin adds; the
volume controller of the node takes them off.
"""

from __future__ import annotations

from podspace.api import metadata
from podspace.api.strategy import Strategy
from podspace.kube import schema, storage
from podspace.kube.json import JSON

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"


class _StorageStrategy(Strategy):
    answers_object_on_delete = True
    status_is_separate = True
    protection = ""

    def prepare_create(self, obj: JSON) -> None:
        super().prepare_create(obj)
        obj.pop("status", None)
        obj["status"] = self.first_status(obj)
        self._protect(obj)

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        """A manifest put in the place of another does not say that the protection shall go; a controller would put it back."""
        if not metadata.is_terminating(new) and self.protection in metadata.finalizers_of(old):
            self._protect(new)
        super().prepare_update(new, old, subresource)

    def _protect(self, obj: JSON) -> None:
        finalizers = metadata.finalizers_of(obj)
        if self.protection not in finalizers:
            metadata.of(obj)["finalizers"] = [*finalizers, self.protection]
            metadata.order(obj)

    def first_status(self, obj: JSON) -> JSON:
        return {"phase": "Pending"}


class ClaimStrategy(_StorageStrategy):
    protection = CLAIM_PROTECTION

    def prepare_create(self, obj: JSON) -> None:
        super().prepare_create(obj)
        storage.same_sources(obj["spec"])
        obj["spec"] = schema.ordered("PersistentVolumeClaimSpec", obj["spec"])

    def prepare_update(self, new: JSON, old: JSON, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        storage.same_sources(new["spec"])
        new["spec"] = schema.ordered("PersistentVolumeClaimSpec", new["spec"])


class VolumeStrategy(_StorageStrategy):
    protection = VOLUME_PROTECTION

    def first_status(self, obj: JSON) -> JSON:
        return {"phase": "Pending", "lastPhaseTransitionTime": metadata.of(obj).get("creationTimestamp")}


class StorageClassStrategy(Strategy):
    answers_object_on_delete = True

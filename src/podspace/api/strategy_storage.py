"""How PersistentVolumes and PersistentVolumeClaims are written: pending at first, and kept from vanishing while they are used.

Called through ``registry`` by the write handlers. Pure. The finalizers are what the StorageObjectInUseProtection plugin adds; the
volume controller of the node takes them off.
"""

from __future__ import annotations

from podspace.api import metadata
from podspace.api.strategy import Strategy
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
        fields = metadata.of(obj)
        finalizers = list(fields.get("finalizers") or ())
        if self.protection not in finalizers:
            fields["finalizers"] = [*finalizers, self.protection]

    def first_status(self, obj: JSON) -> JSON:
        return {"phase": "Pending"}


class ClaimStrategy(_StorageStrategy):
    protection = CLAIM_PROTECTION


class VolumeStrategy(_StorageStrategy):
    protection = VOLUME_PROTECTION

    def first_status(self, obj: JSON) -> JSON:
        return {"phase": "Pending", "lastPhaseTransitionTime": metadata.of(obj).get("creationTimestamp")}


class StorageClassStrategy(Strategy):
    answers_object_on_delete = True

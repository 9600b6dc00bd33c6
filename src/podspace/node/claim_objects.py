"""What binding and providing write: volumes, claims and the default class, as kube-controller-manager writes them. Pure.

Called by ``claim_controller``. Source: pkg/controller/volume/persistentvolume, rancher/local-path-provisioner for the shape of a volume.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from podspace.kube import schema, storage
from podspace.kube.json import JSON

PROVISIONER = "podspace.io/local-path"
CLASS_NAME = "local-path"
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
HOSTNAME = "kubernetes.io/hostname"
_COMPLETED = "pv.kubernetes.io/bind-completed"
_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_PROVISIONER_NOTES = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")


def default_class(now: str) -> JSON:
    """The class of claims that name none: folders of this machine, bound at once, gone with their claim."""
    return {
        "kind": "StorageClass",
        "apiVersion": "storage.k8s.io/v1",
        "metadata": _new_metadata(CLASS_NAME, now) | {"annotations": {storage.DEFAULT_CLASS: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
        "volumeBindingMode": "Immediate",
    }


def volume_name(claim: JSON) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def provided_volume(claim: JSON, storage_class: JSON, folder: Path, hostname: str, now: str) -> JSON:
    """The volume made for a claim: ``folder`` of the node that is called ``hostname``."""
    spec = claim["spec"]
    here = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [hostname]}]}
    made: JSON = {
        "capacity": {"storage": storage.requested(claim)},
        "local": {"path": str(folder)},
        "accessModes": list(spec["accessModes"]),
        "claimRef": reference(claim),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": "Filesystem",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
    }
    metadata = _new_metadata(volume_name(claim), now)
    return {
        "kind": "PersistentVolume",
        "apiVersion": "v1",
        "metadata": metadata | {"annotations": {_PROVISIONED_BY: PROVISIONER}, "finalizers": [VOLUME_PROTECTION]},
        "spec": schema.ordered("PersistentVolumeSpec", made),
        "status": {"phase": "Pending", "lastPhaseTransitionTime": now},
    }


def ephemeral_claim(pod: JSON, volume: JSON, now: str) -> JSON:
    """The claim of a Pod's ephemeral volume, which is the Pod's and goes with it. The caller gives it the default class."""
    template = volume["ephemeral"]["volumeClaimTemplate"]
    given, owner = template.get("metadata") or {}, pod["metadata"]
    metadata = _new_metadata(f"{owner['name']}-{volume['name']}", now) | {"namespace": owner["namespace"]}
    metadata |= {field: dict(given[field]) for field in ("labels", "annotations") if given.get(field)}
    reference = {"apiVersion": "v1", "kind": "Pod", "name": owner["name"], "uid": owner["uid"]}
    metadata["ownerReferences"] = [reference | {"controller": True, "blockOwnerDeletion": True}]
    metadata["finalizers"] = [CLAIM_PROTECTION]
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "metadata": schema.ordered("ObjectMeta", metadata),
        "spec": dict(template["spec"]),
        "status": {"phase": "Pending"},
    }


def bound_volume(volume: JSON, claim: JSON, now: str) -> JSON:
    """A copy of the volume that belongs to the claim."""
    spec, before = volume["spec"], volume["spec"].get("claimRef")
    made = volume | {"spec": schema.ordered("PersistentVolumeSpec", spec | {"claimRef": reference(claim)})}
    if before is None:
        made = _annotated(made, {_BY_CONTROLLER: "yes"})
    return in_phase(made, "Bound", now)


def bound_claim(claim: JSON, volume: JSON) -> JSON:
    """A copy of the claim that has the volume."""
    spec = volume["spec"]
    chosen = claim["spec"].get("volumeName")
    notes = {_COMPLETED: "yes"} | ({} if chosen else {_BY_CONTROLLER: "yes"})
    status = {"phase": "Bound", "accessModes": list(spec["accessModes"]), "capacity": dict(spec["capacity"])}
    made = claim | {
        "spec": schema.ordered("PersistentVolumeClaimSpec", claim["spec"] | {"volumeName": volume["metadata"]["name"]}),
        "status": schema.ordered("PersistentVolumeClaimStatus", (claim.get("status") or {}) | status),
    }
    return _annotated(made, notes)


def provided_claim(claim: JSON) -> JSON:
    """A copy of the claim that says who provides for it."""
    return _annotated(claim, dict.fromkeys(_PROVISIONER_NOTES, PROVISIONER))


def in_phase(volume: JSON, phase: str, now: str, *, reason: str = "", message: str = "") -> JSON:
    """A copy of the volume in a phase; since when, if that is new."""
    status = volume.get("status") or {}
    if status.get("phase") == phase and status.get("message", "") == message:
        return volume
    kept = {"lastPhaseTransitionTime": status.get("lastPhaseTransitionTime", now) if status.get("phase") == phase else now}
    words = {name: text for name, text in (("message", message), ("reason", reason)) if text}
    return volume | {"status": schema.ordered("PersistentVolumeStatus", {"phase": phase} | words | kept)}


def reference(claim: JSON) -> JSON:
    metadata = claim["metadata"]
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "v1",
        "resourceVersion": metadata.get("resourceVersion", ""),
    }


def is_ours(volume: JSON) -> bool:
    """Whether this server made the volume's folder, and may delete it."""
    return "local" in volume["spec"] and bool((volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY) == PROVISIONER)


def _annotated(obj: JSON, notes: dict[str, str]) -> JSON:
    metadata = obj["metadata"] | {"annotations": dict(sorted(((obj["metadata"].get("annotations") or {}) | notes).items()))}
    return obj | {"metadata": schema.ordered("ObjectMeta", metadata)}


def _new_metadata(name: str, now: str) -> JSON:
    return {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": now}

"""The rows of PersistentVolumes, PersistentVolumeClaims and StorageClasses. Called by ``table_cells``. Pure.

Source: the table printer of Kubernetes 1.36.
"""

from __future__ import annotations

from typing import Any

from podspace.kube import storage
from podspace.kube.json import JSON

UNSET = "<unset>"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def volume(obj: JSON, age: str, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef") or {}
    return [
        obj["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", "0"),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace') or ''}/{claim['name']}" if claim.get("name") else "",
        storage.class_of(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age,
        spec.get("volumeMode") or UNSET,
    ]


def claim(obj: JSON, age: str, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        obj["metadata"]["name"],
        _phase(obj),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        storage.class_of(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        age,
        spec.get("volumeMode") or UNSET,
    ]


def storage_class(obj: JSON, age: str, now: float) -> list[Any]:
    name = obj["metadata"]["name"]
    return [
        f"{name} (default)" if storage.is_default(obj) else name,
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        "true" if obj.get("allowVolumeExpansion") else "false",
        age,
    ]


def access_modes(modes: list[str] | None) -> str:
    """``RWO,ROX``, each once and in this order."""
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def _phase(obj: JSON) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str((obj.get("status") or {}).get("phase", ""))

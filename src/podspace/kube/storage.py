"""What claims, volumes and classes say of each other: the few facts that admission, tables and the volume controller all read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from podspace.kube.json import JSON

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"  # of before 1.6; it wins
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"


def is_default(storage_class: JSON) -> bool:
    """Whether claims that name no class get this one."""
    notes = storage_class["metadata"].get("annotations") or {}
    return "true" in (notes.get(DEFAULT_CLASS), notes.get(_BETA_DEFAULT_CLASS))


def default_class(classes: Iterable[JSON]) -> str | None:
    """The name of the default class, of several the newest; None if there is none."""
    found = [one for one in classes if is_default(one)]
    newest = max(found, key=lambda one: (one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]), default=None)
    return newest["metadata"]["name"] if newest else None


def names_a_class(claim: JSON) -> bool:
    """Whether a claim says which class it wants; "" says that it wants none."""
    return "storageClassName" in claim["spec"] or CLASS_ANNOTATION in (claim["metadata"].get("annotations") or {})


def requested(claim: JSON) -> str:
    """How much room a claim asks for."""
    return str((((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage", "0"))


def class_of(obj: JSON) -> str:
    """The class of a claim or volume, "" for none."""
    return str((obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION) or (obj.get("spec") or {}).get("storageClassName") or "")


def is_dropped(spec: JSON, name: str) -> bool:
    """Whether a real server would drop this ``dataSource`` or ``dataSourceRef``; here it stays, and nothing fills the volume from it."""
    source: JSON = spec.get(name) or {}
    if name == "dataSourceRef":
        return bool(source.get("namespace"))
    known = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
    alone = "dataSourceRef" not in spec or is_dropped(spec, "dataSourceRef")
    return alone and (source.get("apiGroup") or "", source.get("kind")) not in known


def same_sources(spec: JSON) -> None:
    """Of a new claim: ``dataSource`` and ``dataSourceRef`` say the same, whichever is given. In place."""
    for name, other in (("dataSource", "dataSourceRef"), ("dataSourceRef", "dataSource")):
        if name in spec and other not in spec and not is_dropped(spec, name):
            spec[other] = dict(spec[name])
            return

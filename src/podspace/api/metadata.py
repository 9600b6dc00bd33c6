"""ObjectMeta: what the server fills in, keeps, and puts in order.

Called by the write handlers and strategies. Pure. It must not know kinds.
Source: apiserver registry/rest BeforeCreate and BeforeUpdate; apimachinery ObjectMeta (order of fields).
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from podspace.kube.json import JSON

_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_ORDER)}
_SERVER_OWNED = ("uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields")
_KEPT = ("uid", "creationTimestamp", "generation", "deletionGracePeriodSeconds")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no look-alikes
_PREFIX_CHARACTERS = 58


def of(obj: JSON) -> JSON:
    """The object's metadata, made if it is missing or null."""
    metadata: Any = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    assert isinstance(metadata, dict)
    return metadata


def name_of(obj: JSON) -> str:
    return str(of(obj).get("name") or "")


def revision_of(obj: JSON) -> int:
    """The object's resourceVersion as a number, 0 if it has none."""
    return int(of(obj).get("resourceVersion") or 0)


def finalizers_of(obj: JSON) -> list[str]:
    return list(of(obj).get("finalizers") or ())


def is_terminating(obj: JSON) -> bool:
    return bool(of(obj).get("deletionTimestamp"))


def generate_name(prefix: str) -> str:
    """A prefix cut to 58 characters and five letters."""
    return prefix[:_PREFIX_CHARACTERS] + "".join(random.choices(_SUFFIX_LETTERS, k=5))


def fill_new(obj: JSON, *, namespace: str, created: str) -> None:
    """Give a new object its name, uid and creationTimestamp; forget what only the server may say."""
    metadata = of(obj)
    for field in _SERVER_OWNED:
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(str(metadata["generateName"]))
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = created
    order(obj)


def keep_old(new: JSON, old: JSON) -> None:
    """Carry over what an update cannot change; a deletionTimestamp that differs is left for validation to refuse."""
    metadata, before = of(new), of(old)
    metadata.pop("selfLink", None)
    for field in _KEPT:
        _restore(metadata, before, field)
    if not metadata.get("deletionTimestamp"):
        _restore(metadata, before, "deletionTimestamp")
    metadata["resourceVersion"] = before.get("resourceVersion", "")
    if before.get("namespace"):
        metadata["namespace"] = before["namespace"]
    order(new)


def order(obj: JSON) -> None:
    """Put the fields in the order of the Go struct: a diff of two answers then shows what changed and nothing else."""
    metadata = of(obj)
    obj["metadata"] = {field: metadata[field] for field in sorted(metadata, key=lambda field: _RANK.get(field, len(_RANK)))}


def own(obj: JSON, entries: list[JSON]) -> None:
    """Write down who owns the fields; always the last of the metadata."""
    metadata = obj["metadata"] = dict(of(obj))
    metadata.pop("managedFields", None)
    if entries:
        metadata["managedFields"] = entries


def _restore(metadata: JSON, before: JSON, field: str) -> None:
    if field in before:
        metadata[field] = before[field]
    else:
        metadata.pop(field, None)

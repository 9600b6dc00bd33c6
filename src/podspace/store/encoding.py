"""How an object becomes bytes: for the disk, and for every watcher of one change, once.

Called by the store when a write is accepted; ``api`` sends the same bytes on. It must not know what the objects mean.
"""

from __future__ import annotations

import json

from podspace.kube.json import JSON

# The place of resourceVersion in Go's ObjectMeta, and so in what a real API server prints.
_BEFORE_RESOURCE_VERSION = ("name", "generateName", "namespace", "selfLink", "uid")

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def encode(obj: JSON) -> bytes:
    """Return compact JSON. Half a surrogate pair, which UTF-8 cannot hold, becomes "?".  Raises: ValueError for NaN."""
    return _encoder.encode(obj).encode("utf-8", "replace")


def decode(body: bytes) -> JSON:
    """Undo ``encode``.  Raises: ValueError."""
    obj = json.loads(body)
    if not isinstance(obj, dict):
        raise ValueError("not a JSON object")
    return obj


def stamped(obj: JSON, revision: int) -> JSON:
    """Return a copy (shallow but for metadata) whose resourceVersion is ``revision``."""
    metadata = obj.get("metadata") or {}
    fresh: JSON = {key: metadata[key] for key in _BEFORE_RESOURCE_VERSION if key in metadata}
    fresh["resourceVersion"] = str(revision)
    fresh.update((key, value) for key, value in metadata.items() if key not in fresh)
    return {**obj, "metadata": fresh}


def same_content(left: JSON, right: JSON) -> bool:
    """Tell whether two objects differ in nothing but their resourceVersion."""
    return stamped(left, 0) == stamped(right, 0)

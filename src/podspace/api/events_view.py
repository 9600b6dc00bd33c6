"""``events.k8s.io/v1`` is another view of the core Events: the same objects, other field names.

Called by the strategy of that resource, on the way in and on the way out; what is stored is always the core form. Pure.
Source: kubernetes pkg/apis/events/v1 conversion, as seen on the wire.
"""

from __future__ import annotations

from podspace.kube import schema
from podspace.kube.json import JSON

_API_VERSION = "events.k8s.io/v1"
# events.k8s.io name -> core name
_TO_CORE = {
    "metadata": "metadata",
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "type": "type",
    "eventTime": "eventTime",
    "series": "series",
    "action": "action",
    "related": "related",
    "reportingController": "reportingComponent",
    "reportingInstance": "reportingInstance",
}
_VIEW_ORDER = (
    "metadata", "eventTime", "series", "reportingController", "reportingInstance", "action", "reason", "regarding", "related", "note",
    "type", "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount",
)  # fmt: skip
_ALWAYS = ("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp")  # printed as null when unset


def to_core(event: JSON) -> JSON:
    """Rename the fields of an events.k8s.io Event to those that are stored."""
    core: JSON = {"kind": "Event", "apiVersion": "v1"}
    core.update((name, event[view]) for view, name in _TO_CORE.items() if view in event)
    core.setdefault("involvedObject", {})
    core.setdefault("source", {})
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        core.setdefault(name, None)
    for name in ("reportingComponent", "reportingInstance"):
        core.setdefault(name, "")
    return schema.ordered("Event", core)


def from_core(event: JSON) -> JSON:
    """Undo ``to_core``; empty strings that this view omits are left out."""
    view: JSON = {"kind": "Event", "apiVersion": _API_VERSION}
    for name in _VIEW_ORDER:
        value = event.get(_TO_CORE[name])
        if name in _ALWAYS or name == "deprecatedSource":
            view[name] = value if value is not None or name != "deprecatedSource" else {}
        elif value not in (None, "", {}):
            view[name] = value
    return view

"""labelSelector and fieldSelector of a request, as one question: does this object belong to the answer?

Called by list, watch and deletecollection. The languages themselves are in ``kube.selectors``.
"""

from __future__ import annotations

from dataclasses import dataclass

from podspace.api.query import Query
from podspace.kube import resources, selectors
from podspace.kube.json import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Falsy when it selects everything."""

    labels: selectors.Selector
    fields: selectors.FieldSelector

    def __bool__(self) -> bool:
        return bool(self.labels) or bool(self.fields)

    def matches(self, obj: JSON) -> bool:
        if self.labels and not self.labels.matches(obj["metadata"].get("labels") or {}):
            return False
        return not self.fields or self.fields.matches(obj)

    def only_name(self) -> str:
        """The one name that can match, "" if several can."""
        return (self.fields and self.fields.exact("metadata.name")) or ""


def of(query: Query, resource: resources.Resource, *, name: str = "") -> Selection:
    """Parse both selectors; ``name`` adds a condition on metadata.name.  Raises: BadRequest."""
    label_text, field_text = query.get("labelSelector"), query.get("fieldSelector")
    if name:
        field_text = f"metadata.name={name}" + (f",{field_text}" if field_text else "")
    labels = selectors.parse_labels(label_text)
    fields = selectors.parse_fields(resource, field_text)
    return Selection(labels=labels, fields=fields)

"""Objects as the tables that ``kubectl get`` prints: the server decides the columns and computes the cells.

Called by ``api`` when the client accepts ``as=Table``, for lists, single objects and each event of a watch. Columns are in
``table_columns``, cells in ``table_pods`` and ``table_cells``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podspace import errors
from podspace.kube import table_cells, table_columns
from podspace.kube.json import JSON
from podspace.kube.resources import Resource

META_VERSION = "meta.k8s.io/v1"


def columns(resource: Resource) -> list[JSON]:
    """``columnDefinitions`` of a resource. Shared: do not change."""
    return table_columns.of(resource.qualified)


def cells(resource: Resource, obj: JSON, now: float) -> list[Any]:
    """One row's cells: strings, and a few numbers. ``now``: seconds since the epoch."""
    return table_cells.of(resource.qualified, obj, now)


def render(
    resource: Resource, objs: Iterable[JSON], list_meta: JSON, now: float, include_object: str = "Metadata", *, with_columns: bool = True
) -> JSON:
    """Return a Table. ``list_meta``: resourceVersion, continue, ...; of a single object just its resourceVersion.

    include_object: Metadata ("" too), Object or None, as the query has it.  with_columns: False from a watch's second event on.
    Raises: BadRequest for another ``include_object``.
    """
    if include_object not in ("", "Metadata", "Object", "None"):
        raise errors.BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include_object}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return {
        "kind": "Table",
        "apiVersion": META_VERSION,
        "metadata": list_meta,
        "columnDefinitions": columns(resource) if with_columns else None,
        "rows": [{"cells": cells(resource, obj, now), "object": _included(resource, obj, include_object)} for obj in objs],
    }


def _included(resource: Resource, obj: JSON, include_object: str) -> JSON | None:
    if include_object == "None":
        return None
    if include_object == "Object":
        return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
    return {"kind": "PartialObjectMetadata", "apiVersion": META_VERSION, "metadata": obj["metadata"]}

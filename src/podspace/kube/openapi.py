"""OpenAPI v3 documents, as far as kubectl reads them: for ``explain``, and to see that a kind takes ``fieldValidation``.

Called through ``schema.openapi_v3`` only, so that the texts are not loaded before somebody asks.
Source: OpenAPI 3.0.0; the documents of a real API server.
"""

from __future__ import annotations

import json

from podspace.kube import patch_keys, resources, schema
from podspace.kube.json import JSON

_FORMATS: dict[str, JSON] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float64": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "quantity": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "intstr": {"type": "string", "format": "int-or-string"},
    "raw": {"type": "object"},
}
_META = frozenset(
    {
        *("ObjectMeta", "OwnerReference", "ManagedFieldsEntry", "LabelSelector", "LabelSelectorRequirement", "ListMeta", "Condition"),
        *("Status", "StatusCause", "StatusDetails", "DeleteOptions", "Preconditions", "FieldSelectorRequirement", "ShardInfo"),
    }
)
_GROUPS = {
    "Lease": "coordination",
    "LeaseSpec": "coordination",
    "Eviction": "policy",
    "UserInfo": "authentication",
    "SelfSubjectReview": "authentication",
    "SelfSubjectReviewStatus": "authentication",
    "SelfSubjectAccessReview": "authorization",
    "SelfSubjectRulesReview": "authorization",
    "SubjectAccessReview": "authorization",
    "SubjectAccessReviewSpec": "authorization",
    "LocalSubjectAccessReview": "authorization",
    "TokenReview": "authentication",
    "TokenReviewSpec": "authentication",
    "TokenReviewStatus": "authentication",
    "BoundObjectReference": "authentication",
}


_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
_PATCHES = (
    *("application/apply-patch+yaml", "application/json-patch+json"),
    *("application/merge-patch+json", "application/strategic-merge-patch+json"),
)
_RETAINED = ("volumes", "resourceClaims")  # of a PodSpec: what is changed replaces its neighbours


def document(group: str, version: str) -> JSON:
    """The OpenAPI document of a group: schemas with texts, and one PATCH path per kind. Built anew by each call; keep the bytes.

    kubectl looks for the PATCH operation of a kind and its ``fieldValidation`` parameter before create, apply and replace, and whether
    it takes strategic merge patches: then it makes them by the lists' patch strategies.
    """
    served = [
        resource
        for resource in resources.RESOURCES
        if (resource.group, resource.version) == (group, version) and resource.group not in resources.NO_SCHEMA and not resource.hidden
    ]
    docs: dict[str, dict[str, str]] = json.loads(schema.data("schema_docs.json"))
    schemas: JSON = {}
    for resource in served:
        _add_schemas(schemas, schema.model_of(resource.kind, group), docs)
        top = schemas[_schema_name(schema.model_of(resource.kind, group))]
        top["x-kubernetes-group-version-kind"] = [{"group": group, "kind": resource.kind, "version": version}]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "1.36"},
        "paths": {path: operation for resource in served for path, operation in _paths(resource)},
        "components": {"schemas": schemas},
    }


def _paths(resource: resources.Resource) -> list[tuple[str, JSON]]:
    prefix = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    verb = "patch" if resource.stored else "post"
    tail = "/{name}" if resource.stored else ""
    operation: JSON = {
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _PARAMETERS],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": {"group": resource.group, "kind": resource.kind, "version": resource.version},
    }
    if verb == "patch":
        operation["requestBody"] = {"content": {kind: {"schema": {"type": "object"}} for kind in _PATCHES}}
    return [(f"{prefix}{scope}/{resource.plural}{tail}", {verb: operation})]


def _add_schemas(schemas: JSON, model: str, docs: dict[str, dict[str, str]]) -> None:
    name = _schema_name(model)
    if name in schemas:
        return
    texts = docs[model]
    body: JSON = {"type": "object", "description": texts.get("", ""), "properties": {}}
    schemas[name] = body
    for field in schema.fields(model).values():
        property_schema = _schema(field.type)
        if text := texts.get(field.name):
            property_schema = {"allOf": [property_schema]} if "$ref" in property_schema else property_schema
            property_schema["description"] = text
        property_schema |= _merging(model, field.name)
        body["properties"][field.name] = property_schema
        if field.type.base not in schema.SCALARS:
            _add_schemas(schemas, field.type.base, docs)


def _merging(model: str, field: str) -> JSON:
    """How a strategic merge patch treats a list."""
    key = patch_keys.MERGED_LISTS.get(model, {}).get(field)
    if key is None:
        return {}
    strategy = "merge,retainKeys" if model == "PodSpec" and field in _RETAINED else "merge"
    return ({"x-kubernetes-patch-merge-key": key} if key else {}) | {"x-kubernetes-patch-strategy": strategy}


def _schema_name(model: str) -> str:
    if model in _META:
        return f"io.k8s.apimachinery.pkg.apis.meta.v1.{model}"
    if model.startswith("events_v1."):
        return f"io.k8s.api.events.v1.{model.partition('.')[2]}"
    return f"io.k8s.api.{_GROUPS.get(model, 'core')}.v1.{model}"


def _schema(kind: schema.Type) -> JSON:
    if kind.shape.startswith(schema.LIST):
        return {"type": "array", "items": _schema(kind.element)}
    if kind.shape.startswith(schema.MAP):
        return {"type": "object", "additionalProperties": _schema(kind.element)}
    if kind.base in schema.SCALARS:
        return dict(_FORMATS[kind.base])
    return {"$ref": f"#/components/schemas/{_schema_name(kind.base)}"}

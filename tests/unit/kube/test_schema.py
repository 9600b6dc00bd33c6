"""The shipped tables are what lightkube-models says, and hold what decoding and OpenAPI need."""

from __future__ import annotations

import json

import pytest

from podspace.kube import resources, schema
from tools import gen_schema


@pytest.mark.parametrize("name", ["schema_table.json", "schema_docs.json"])
def test_the_shipped_tables_are_those_derived_from_the_installed_models(name: str) -> None:
    derive = gen_schema.table if name == "schema_table.json" else gen_schema.docs
    assert schema.data(name) == gen_schema.render(derive()), "run: python -m tools.gen_schema"


def test_every_type_in_the_table_is_known() -> None:
    for resource in [each for each in resources.RESOURCES if each.group not in resources.NO_SCHEMA and not each.hidden]:
        waiting = [schema.model_of(resource.kind, resource.group)]
        seen: set[str] = set()
        while waiting:
            model = waiting.pop()
            if model not in seen:
                seen.add(model)
                waiting += [field.type.base for field in schema.fields(model).values() if field.type.base not in schema.SCALARS]


def test_a_path_leads_to_a_type() -> None:
    assert schema.type_of("Pod", "spec.containers.ports.containerPort") == schema.Type("", "int32", "")
    assert schema.type_of("Pod", "spec.containers") == schema.Type("[]", "Container", "")
    assert schema.type_of("Pod", "spec.containers.resources.limits") == schema.Type("{}", "quantity", "v1.ResourceList")
    assert schema.type_of("Pod", "spec.nope") is None
    assert schema.type_of("Pod", "metadata.name.first") is None


def test_booleans_that_mean_something_when_false_are_pointers() -> None:
    spec = schema.fields("PodSpec")
    assert spec["shareProcessNamespace"].pointer
    assert not spec["hostPID"].pointer


def test_the_events_of_the_other_group_have_a_model_of_their_own() -> None:
    assert "note" in schema.fields(schema.model_of("Event", "events.k8s.io"))
    assert "message" in schema.fields(schema.model_of("Event"))


def test_openapi_has_one_patch_with_fieldvalidation_per_kind() -> None:
    document = schema.openapi_v3("", "v1")
    patches = [item["patch"] for item in document["paths"].values() if "patch" in item]
    kinds = {patch["x-kubernetes-group-version-kind"]["kind"] for patch in patches}
    served = [resource for resource in resources.RESOURCES if resource.api_version == "v1" and not resource.hidden]
    assert kinds == {resource.kind for resource in served if resource.stored}
    assert all("fieldValidation" in [parameter["name"] for parameter in patch["parameters"]] for patch in patches)


def test_openapi_describes_fields_and_resolves_every_reference() -> None:
    document = schema.openapi_v3("", "v1")
    schemas = document["components"]["schemas"]
    pod = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["shareProcessNamespace"]
    assert pod["type"] == "boolean"
    assert pod["description"].startswith("Share a single process namespace between all of the containers in a pod.")
    text = json.dumps(document)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas


def test_a_group_has_its_own_document() -> None:
    document = schema.openapi_v3("coordination.k8s.io", "v1")
    assert list(document["paths"]) == ["/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"]

"""Tables against those a real API server made."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.kube import resources, table, times
from podspace.kube.json import JSON
from tests.unit.kube import observed

observed.needs_facts()

PHASES = observed.sample("table-pod-phases")
NOW = times.parse("2026-11-23T19:05:03Z")  # when the phases were recorded: 33 minutes after their creation


def pod_of(row: Any) -> JSON:
    """The recording abbreviates: containers by name, init containers as [name, restartPolicy], conditions without reason."""
    given = row["input"]
    spec = dict(given["spec"])
    spec["containers"] = [{"name": name} for name in spec["containers"]]
    spec["initContainers"] = [{"name": name, "restartPolicy": policy} for name, policy in spec.get("initContainers") or ()]
    metadata = {"name": row["pod"], "creationTimestamp": "2026-11-23T18:31:42Z", "deletionTimestamp": given["deletionTimestamp"]}
    if spec.get("schedulingGates"):
        given["status"]["conditions"][0]["reason"] = "SchedulingGated"
    return {"metadata": metadata, "spec": spec, "status": given["status"]}


@pytest.mark.parametrize("row", PHASES["rows"], ids=lambda row: row["pod"])
def test_the_cells_of_a_pod_are_those_observed(row: Any) -> None:
    assert table.cells(resources.PODS, pod_of(row), NOW) == row["cells"]


def _tables() -> list[Any]:
    found = []
    for name in [*observed.sample_names("table-*"), *observed.sample_names("kubectl-get-*"), *observed.sample_names("watch-table")]:
        if name == "table-pod-phases":
            continue
        for exchange in observed.exchanges(name):
            resource = _resource(exchange["request"]["path"])
            bodies = exchange["response"].get("body")
            for body in bodies if isinstance(bodies, list) else [bodies]:
                document = body.get("object", body) if isinstance(body, dict) else {}
                if resource and not resource.hidden and document.get("kind") == "Table" and document.get("columnDefinitions"):
                    found.append(pytest.param(resource, document, id=f"{name}-{resource.plural}"))
    return found


def _resource(path: str) -> resources.Resource | None:
    parts = path.partition("?")[0].strip("/").split("/")
    if parts[0] != "api" or len(parts) < 3:
        return None
    rest = parts[2:]
    return resources.lookup("", "v1", rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0])


@pytest.mark.parametrize(("resource", "document"), _tables())
def test_columns_are_those_observed(resource: resources.Resource, document: Any) -> None:
    ours, theirs = table.columns(resource), document["columnDefinitions"]
    plain = ("name", "type", "format", "priority")
    assert [[column[key] for key in plain] for column in ours] == [[column[key] for key in plain] for column in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert list(our) == list(their)
        assert _paragraphs(our["description"]) == _paragraphs(their["description"])


def _paragraphs(text: str) -> list[list[str]]:
    """Words only: the models keep one blank of two where they wrap."""
    return [paragraph.split() for paragraph in text.split("\n\n")]


@pytest.mark.parametrize("name", ["table-single-includeobject-object", "table-nodes", "table-events", "table-configmaps", "table-secrets"])
def test_rows_have_the_members_observed(name: str) -> None:
    for exchange in observed.exchanges(name):
        resource = _resource(exchange["request"]["path"])
        assert resource
        include = "Object" if "includeObject=Object" in exchange["request"]["path"] else ""
        body = exchange["response"]["body"]
        for row in body["rows"]:
            rendered = table.render(resource, [row["object"]], body["metadata"], NOW, include)
            assert list(rendered) == list(body)
            assert rendered["rows"][0]["object"] == row["object"]
            if include:
                assert rendered["rows"][0]["cells"] == row["cells"]


def test_the_cells_of_an_event_are_those_observed() -> None:
    """The one event that the recordings have both as an object and as a row; an update of it came between."""
    rows = {
        row["object"]["metadata"]["name"]: row["cells"]
        for ex in observed.exchanges("table-events")
        for row in ex["response"]["body"]["rows"]
    }
    created = next(ex["response"]["body"] for ex in observed.exchanges("events-patch-and-ttl") if ex["request"]["method"] == "POST")
    ours = table.cells(resources.EVENTS, created, NOW)
    assert ours[:8] + ours[9:] == rows["p.1"][:8] + rows["p.1"][9:]

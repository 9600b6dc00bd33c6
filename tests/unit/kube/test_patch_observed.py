"""Patches against what a real API server made of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from podspace import errors
from podspace.kube import patch
from podspace.kube.json import JSON
from podspace.kube.patch_keys import MERGED_LISTS
from tests.unit.kube import observed

observed.needs_facts()

CASES = observed.sample("patch-semantics")["cases"]
POD: JSON = {
    "metadata": {"name": "p", "labels": {"a": "1", "b": "2"}},
    "spec": {
        "containers": [
            {
                "name": "a",
                "image": "i1",
                "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            },
            {"name": "b", "image": "i2"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c", "defaultMode": 420}}],
    },
    "status": {},
}
COMPLETED_BY_DEFAULTING = ("status-conditions-merge-type", "ephemeral-append")


def pod_of(case: Any) -> JSON:
    pod = copy.deepcopy(POD)
    for path, value in case["response"]["before"].items():
        _set(pod, path.split("."), copy.deepcopy(value))
    return pod


def _set(node: Any, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    if value is None:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value


def _get(node: Any, path: list[str]) -> Any:
    for part in path:
        node = node[int(part)] if part.isdigit() else (node or {}).get(part)
    return node or None


def apply(request: Any, obj: JSON, kind: str = "Pod") -> JSON:
    content_type = request["headers"]["Content-Type"]
    if content_type == "application/json-patch+json":
        return patch.json_patch(obj, request["body"])
    if content_type == "application/merge-patch+json":
        return patch.merge_patch(obj, request["body"])
    return patch.strategic_merge(kind, obj, request["body"])


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case["response"]["status"] == 200 and name not in COMPLETED_BY_DEFAULTING]
)
def test_an_accepted_patch_gives_the_fields_that_were_seen(name: str) -> None:
    case = CASES[name]
    pod = pod_of(case)
    before = copy.deepcopy(pod)
    result = apply(case["request"], pod)
    assert pod == before
    for path, value in case["response"]["after"].items():
        assert _get(result, path.split(".")) == (value or None)


@pytest.mark.parametrize("name", ["setElementOrder-mismatch", "jsonpatch-add-missing-parent", "jsonpatch-test-fail"])
def test_a_refused_patch_has_the_words_that_were_seen(name: str) -> None:
    case = CASES[name]
    kind = errors.Internal if case["response"]["status"] == 500 else errors.Invalid
    with pytest.raises(kind) as caught:
        apply(case["request"], pod_of(case))
    assert str(caught.value) == case["response"]["message"]


def _containers(result: JSON) -> list[str]:
    return [f"{container['name']}={container['image']}" for container in result["spec"]["containers"]]


@pytest.mark.parametrize(
    ("name", "containers"),
    [
        ("containers-setElementOrder", ["b=NEW", "a=i1"]),
        ("containers-delete", ["a=i1"]),
        ("containers-add", ["c=i3", "a=i1", "b=i2"]),
        ("containers-replace-directive", ["a=ONLY"]),
        ("mergepatch-list-replaces", ["a=N"]),
    ],
)
def test_patches_that_pods_refuse_later_are_merged_first(name: str, containers: list[str]) -> None:
    assert _containers(apply(CASES[name]["request"], pod_of(CASES[name]))) == containers


def test_retain_keys_drops_the_other_volume_source() -> None:
    case = CASES["retainKeys-volumes"]
    volumes = apply(case["request"], pod_of(case))["spec"]["volumes"]
    assert volumes == [{"name": "w", "secret": {"secretName": "s"}}, {"name": "v", "emptyDir": {}}] or volumes == [
        {"name": "v", "emptyDir": {}},
        {"name": "w", "secret": {"secretName": "s"}},
    ]


def test_status_lists_merge_by_type_and_ip() -> None:
    case = CASES["status-conditions-merge-type"]
    status = apply(case["request"], {"status": {"conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{"ip": "10.0.0.1"}]}})[
        "status"
    ]
    assert status["conditions"] == [{"type": "Ready", "status": "False", "reason": "X"}]
    assert status["podIPs"] == [{"ip": "10.0.0.9"}, {"ip": "10.0.0.1"}]


KUBECTL = [
    name for name in observed.sample_names("kubectl*") if not name.startswith(("kubectl-requests", "kubectl-apply-ss", "kubectl-oa"))
]


def _pairs() -> list[Any]:
    """A GET of an object that is followed by an accepted PATCH of the same path and by its answer."""
    found = []
    for name in KUBECTL:
        known: dict[str, JSON] = {}
        for exchange in observed.exchanges(name):
            request, body = exchange["request"], exchange["response"].get("body")
            path = request.get("path", "").partition("?")[0]
            if exchange["response"].get("status") not in (200, 201) or not isinstance(body, dict) or "metadata" not in body:
                continue
            if request["method"] == "PATCH" and path in known and "apply-patch" not in request["headers"]["Content-Type"]:
                found.append(pytest.param(body["kind"], known[path], request, body, id=f"{name}-{path.rpartition('/')[2]}"))
            known[path] = body
    return found


@pytest.mark.parametrize(("kind", "before", "request_", "after"), _pairs())
def test_what_kubectl_sends_gives_what_the_server_stored(kind: str, before: JSON, request_: Any, after: JSON) -> None:
    result = apply(request_, before, kind)
    for volatile in ("resourceVersion", "generation"):
        result["metadata"].pop(volatile, None)
        after["metadata"].pop(volatile, None)
    assert _without_empty(result) == _without_empty(after)


def _without_empty(obj: JSON) -> Any:
    return json.loads(
        json.dumps(obj), object_hook=lambda members: {key: value for key, value in members.items() if value not in ({}, [], None)}
    )


def test_the_merge_keys_are_those_the_server_publishes() -> None:
    published = observed.sample("merge-keys")["fields"]
    merged = {
        (model, field): rules.get("patch-merge-key", "")
        for model, fields in published.items()
        for field, rules in fields.items()
        if "merge" in rules.get("patch-strategy", "").split(",")
    }
    ours = {(model, field): key for model, fields in MERGED_LISTS.items() for field, key in fields.items() if model in published}
    assert ours == merged

"""Objects that a real API server 1.36 refused (``refused_pods.json``, ``refused_others.json``) or warned of (``warned_pods.json``).

Of the refusals, what explains a regular expression is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podspace import errors
from podspace.kube import admission, decode, defaults, resources, services, validation
from podspace.kube.json import JSON

CONTAINER = {"name": "a", "image": "x"}
REFUSED: list[JSON] = json.loads(Path(__file__).with_name("refused_pods.json").read_text())
OTHERS: list[JSON] = json.loads(Path(__file__).with_name("refused_others.json").read_text())
WARNED: list[JSON] = json.loads(Path(__file__).with_name("warned_pods.json").read_text())


def _pod(spec: JSON, annotations: JSON | None = None, labels: JSON | None = None) -> JSON:
    metadata = {"name": "p", "namespace": "default", "annotations": annotations or {}, "labels": labels or {}}
    body = {"metadata": metadata, "spec": {"containers": [CONTAINER], **spec}}
    obj = decode.decode(json.dumps(body).encode(), "application/json", resources.PODS, field_validation="Strict").obj
    defaults.apply("Pod", obj)
    return obj


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["words"][0].partition(": ")[0])
def test_a_pod_is_refused_in_the_servers_words(case: Any) -> None:
    obj = _pod(case.get("spec", {}), case.get("annotations"))
    admission.admit_pod(obj)
    assert [cause.sentence().partition(" (e.g. ")[0] for cause in validation.validate_create("Pod", obj)] == case["words"]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: f"{case['kind']} {case['words'][0].partition(': ')[0]}")
def test_other_kinds_are_refused_in_the_servers_words(case: Any) -> None:
    resource = resources.by_kind(case["kind"])
    assert resource is not None
    metadata = {"name": "z", **({"namespace": "default"} if resource.namespaced else {}), **case["object"].get("metadata", {})}
    body = {"kind": case["kind"], "apiVersion": resource.api_version, **case["object"], "metadata": metadata}
    obj = decode.decode(json.dumps(body).encode(), "application/json", resource, field_validation="Strict").obj
    defaults.apply(case["kind"], obj)
    causes = []
    try:
        if case["kind"] == "Service":
            services.allocate(obj, ())
        causes = validation.validate_create(case["kind"], obj)
    except errors.Invalid as refusal:
        causes = list(refusal.causes)
    assert sorted(cause.sentence().partition(" (e.g. ")[0] for cause in causes) == sorted(case["words"])


@pytest.mark.parametrize("case", WARNED, ids=lambda case: next(iter(case["spec"])))
def test_a_pod_is_warned_of_in_the_servers_words(case: Any) -> None:
    assert validation.warnings("Pod", _pod(case["spec"])) == case["warnings"]


def test_overhead_without_a_class_is_told_of_last() -> None:
    obj = _pod({"overhead": {"cpu": "1"}})
    admission.admit_pod(obj)
    assert validation.validate_create("Pod", obj) == []
    with pytest.raises(errors.Forbidden, match="Pod Overhead set without corresponding RuntimeClass"):
        admission.check_pod(obj, runtimes=[])


@pytest.mark.parametrize(
    ("name", "words"), [("", "resource name may not be empty"), ("a/b", "invalid resource name \"a/b\": \\[may not contain '/'\\]")]
)
def test_what_cannot_be_the_name_of_a_class_is_the_servers_own_error(name: str, words: str) -> None:
    with pytest.raises(errors.Internal, match=words):
        admission.admit_pod(_pod({"runtimeClassName": name}))


def test_pod_level_requests_are_what_the_containers_need_at_their_worst() -> None:
    init = {"name": "i", "image": "x", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}
    regular = {**CONTAINER, "resources": {"requests": {"cpu": "1"}, "limits": {"hugepages-2Mi": "4Mi"}}}
    obj = _pod({"containers": [regular], "initContainers": [init], "resources": {"limits": {"cpu": "4"}}})
    assert obj["spec"]["resources"] == {
        "limits": {"cpu": "4", "hugepages-2Mi": "4Mi"},
        "requests": {"cpu": "2", "hugepages-2Mi": "4Mi", "memory": "1Gi"},
    }


def test_an_apparmor_annotation_becomes_a_field_only_where_it_says_something_else() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    same = _pod({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, {key: "unconfined"})
    assert "securityContext" not in same["spec"]["containers"][0]
    other = _pod({}, {key: "localhost/mine"})
    assert other["spec"]["containers"][0]["securityContext"]["appArmorProfile"]["localhostProfile"] == "mine"
    assert "securityContext" not in _pod({}, {key: "localhost/ padded"})["spec"]["containers"][0]

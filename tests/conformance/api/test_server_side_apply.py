"""Real kubectl applying on the server's side: ownership, conflicts, the step over from client-side apply."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.api.apiserver import Kubectl, running

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    folder = tmp_path_factory.mktemp("ssa")
    program = shutil.which("kubectl")
    assert program
    with running(folder):
        yield Kubectl(program=program, folder=folder)


def configmap(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **({"data": data} if data else {})})


def owners(kubectl: Kubectl, kind: str, name: str) -> dict[tuple[str, str], Any]:
    shown = json.loads(kubectl("get", kind, name, "-o", "json", "--show-managed-fields"))
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in shown["metadata"].get("managedFields", ())}


def test_who_applies_owns_and_others_meet_a_conflict(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert kubectl(*apply, stdin=configmap("a", x="1", y="1")) == "configmap/a serverside-applied\n"
    assert owners(kubectl, "cm", "a") == {("kubectl", "Apply"): {"f:data": {"f:x": {}, "f:y": {}}}}
    refused = kubectl(*apply, "--field-manager=other", stdin=configmap("a", x="2"), status=1)
    assert 'error: Apply failed with 1 conflict: conflict with "kubectl": .data.x' in refused
    assert "--force-conflicts" in refused
    kubectl(*apply, "--field-manager=other", "--force-conflicts", stdin=configmap("a", x="2"))
    assert kubectl("get", "cm", "a", "-o", "jsonpath={.data}") == '{"x":"2","y":"1"}'
    kubectl(*apply, stdin=configmap("a"))
    assert kubectl("get", "cm", "a", "-o", "jsonpath={.data}") == '{"x":"2"}'
    assert owners(kubectl, "cm", "a") == {("other", "Apply"): {"f:data": {"f:x": {}}}}


def test_labels_and_edits_of_others_survive_an_apply(kubectl: Kubectl) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "a", "image": "busybox:1.28"}]},
    }
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, stdin=json.dumps(pod))
    kubectl("label", "pod", "p", "mine=1")
    before = kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.resourceVersion}")
    assert kubectl(*apply, stdin=json.dumps(pod)) == "pod/p serverside-applied\n"
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.resourceVersion}") == before
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.labels}") == '{"app":"x","mine":"1"}'
    assert set(owners(kubectl, "pod", "p")) == {("kubectl", "Apply"), ("kubectl-label", "Update")}
    dry = kubectl(*apply, "--dry-run=server", stdin=json.dumps({**pod, "metadata": {"name": "p", "labels": {"app": "y"}}}))
    assert dry == "pod/p serverside-applied (server dry run)\n"
    assert kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.labels.app}") == "x"
    unknown = kubectl(*apply, stdin=json.dumps({**pod, "spec": {**pod["spec"], "foo": 1}}), status=1)  # type: ignore[dict-item]
    assert ".spec.foo: field not declared in schema" in unknown
    assert "managedFields" not in kubectl("get", "pod", "p", "-o", "yaml")


def test_client_side_apply_becomes_server_side_apply(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=configmap("m", a="1", b="1"))
    assert kubectl("apply", "--server-side", "-f", "-", stdin=configmap("m", a="2")) == "configmap/m serverside-applied\n"
    assert kubectl("get", "cm", "m", "-o", "jsonpath={.data}") == '{"a":"2"}'
    assert ("kubectl-client-side-apply", "Update") not in owners(kubectl, "cm", "m")
    annotation = kubectl("get", "cm", "m", "-o", r"jsonpath={.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}")
    assert json.loads(annotation)["data"] == {"a": "2"}
    assert kubectl("apply", "-f", "-", stdin=configmap("m", a="3")) == "configmap/m configured\n"


def test_diff_and_several_objects_at_once(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=configmap("d", a="1"))
    shown = kubectl("diff", "--server-side", "-f", "-", stdin=configmap("d", a="2"), status=1)
    assert '+  a: "2"' in shown
    items = [json.loads(configmap(name, a="1")) for name in ("d1", "d2")]
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    assert kubectl("apply", "--server-side", "-f", "-", stdin=both) == "configmap/d1 serverside-applied\nconfigmap/d2 serverside-applied\n"

"""What kubectl changes: create, apply, diff, replace, patch, set, delete, wait, dry runs and validation, in a real API server's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.server import Server

pytestmark = pytest.mark.root
NOWHERE = {"no": "where"}  # a Pod that is never run: its object alone matters


@pytest.fixture
def ns(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60].strip("-")
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def manifest(name: str, **spec: Any) -> str:
    return json.dumps(pods.pod(name, nodeSelector=NOWHERE, **spec))


def live(kubectl: Kubectl, ns: str, what: str) -> Any:
    return json.loads(kubectl("get", "-n", ns, what, "-o", "json"))


def test_create_of_every_small_kind(kubectl: Kubectl, ns: str) -> None:
    in_ns = ("-n", ns)
    assert kubectl("create", "configmap", "cm", "--from-literal=a=1", *in_ns) == "configmap/cm created\n"
    assert kubectl("create", "secret", "generic", "s", "--from-literal=a=1", *in_ns) == "secret/s created\n"
    assert kubectl("create", "serviceaccount", "acc", *in_ns) == "serviceaccount/acc created\n"
    assert kubectl("create", "quota", "q", "--hard=pods=9", *in_ns) == "resourcequota/q created\n"
    login = ("--docker-server=r.example", "--docker-username=u", "--docker-password=p")
    assert kubectl("create", "secret", "docker-registry", "d", *login, *in_ns) == "secret/d created\n"
    assert live(kubectl, ns, "secret/d")["type"] == "kubernetes.io/dockerconfigjson"
    assert 'configmaps "cm" already exists' in kubectl("create", "configmap", "cm", *in_ns, status=1)
    assert 'namespaces "nosuch" not found' in kubectl("create", "configmap", "cm", "-n", "nosuch", status=1)
    assert "the server could not find the requested resource" in kubectl("create", "deployment", "d", "--image=x", *in_ns, status=1)


def test_names_are_generated(kubectl: Kubectl, ns: str) -> None:
    obj = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}})
    said = {kubectl("create", "-n", ns, "-f", "-", stdin=obj) for _ in range(2)}
    assert len(said) == 2
    assert all(re.fullmatch(r"configmap/gen-[a-z0-9]{5} created\n", one) for one in said)
    assert "cannot use generate name with apply" in kubectl("apply", "-n", ns, "-f", "-", stdin=obj, status=1)


def test_apply_merges_lists_by_key_and_forgets_what_is_dropped(kubectl: Kubectl, ns: str) -> None:
    obj = json.loads(manifest("p"))
    obj["metadata"]["annotations"] = {"mine": "1", "dropped": "1"}
    kubectl("apply", "-n", ns, "-f", "-", stdin=json.dumps(obj))
    kubectl("annotate", "-n", ns, "pod", "p", "others=1")
    del obj["metadata"]["annotations"]["dropped"]
    obj["spec"]["containers"][0]["image"] = "busybox"
    diff = kubectl("diff", "-n", ns, "-f", "-", stdin=json.dumps(obj), status=1)
    assert re.search(r"^-    dropped: \"1\"$", diff, re.MULTILINE)
    assert kubectl("apply", "-n", ns, "-f", "-", stdin=json.dumps(obj)) == "pod/p configured\n"
    found = live(kubectl, ns, "pod/p")
    assert {"mine", "others"} <= set(found["metadata"]["annotations"])
    assert "dropped" not in found["metadata"]["annotations"]
    assert found["spec"]["containers"][0]["image"] == "busybox"
    assert kubectl("apply", "-n", ns, "-f", "-", stdin=json.dumps(obj)) == "pod/p unchanged\n"
    assert kubectl("diff", "-n", ns, "-f", "-", stdin=json.dumps(obj)) == ""


def test_three_kinds_of_patches_and_their_directives(kubectl: Kubectl, ns: str) -> None:
    kubectl("create", "-n", ns, "-f", "-", stdin=manifest("p"))

    def patch(kind: str, body: Any, *, status: int = 0) -> str:
        return kubectl("patch", "-n", ns, "pod", "p", f"--type={kind}", "-p", json.dumps(body), status=status)

    assert patch("strategic", {"spec": {"containers": [{"name": "c", "image": "busybox"}]}}) == "pod/p patched\n"
    assert live(kubectl, ns, "pod/p")["spec"]["containers"][0]["image"] == "busybox"
    assert patch("merge", {"metadata": {"labels": {"app": None, "b": "2"}}}) == "pod/p patched\n"
    assert live(kubectl, ns, "pod/p")["metadata"]["labels"] == {"b": "2"}
    steps = [{"op": "test", "path": "/metadata/labels/b", "value": "2"}, {"op": "add", "path": "/metadata/labels/c~1d", "value": "3"}]
    assert patch("json", steps) == "pod/p patched\n"
    assert live(kubectl, ns, "pod/p")["metadata"]["labels"] == {"b": "2", "c/d": "3"}
    assert patch("strategic", {"metadata": {"labels": {"$patch": "replace", "only": "this"}}}) == "pod/p patched\n"
    assert live(kubectl, ns, "pod/p")["metadata"]["labels"] == {"only": "this"}
    assert patch("merge", {"metadata": {"labels": {"only": "this"}}}) == "pod/p patched (no change)\n"
    refused = patch("json", [{"op": "test", "path": "/metadata/labels/only", "value": "that"}], status=1)
    assert "The request is invalid" in refused
    if not kubectl.is_old:
        assert "the server rejected our request due to an error in our request" in refused
    assert "may not change fields other than" in patch("strategic", {"spec": {"hostPID": True}}, status=1)
    assert "may not add or remove containers" in patch("merge", {"spec": {"containers": []}}, status=1) or kubectl.is_old


def test_set_where_a_pod_allows_it(kubectl: Kubectl, ns: str) -> None:
    kubectl("create", "-n", ns, "-f", "-", stdin=manifest("p"))
    assert kubectl("set", "image", "-n", ns, "pod/p", "c=busybox") == "pod/p image updated\n"
    for verb in (("env", "pod/p", "A=b"), ("resources", "pod/p", "--limits=cpu=1")):
        assert "pod updates may not change fields other than" in kubectl("set", *verb, "-n", ns, status=1)
    local = kubectl("set", "env", "-f", "-", "A=b", "--local", "-o", "json", stdin=manifest("p"))
    assert json.loads(local)["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}]


def test_replace_and_what_has_changed_meanwhile(kubectl: Kubectl, ns: str) -> None:
    kubectl("create", "configmap", "cm", "--from-literal=a=1", "-n", ns)
    old = live(kubectl, ns, "cm/cm")
    kubectl("patch", "-n", ns, "cm", "cm", "--type=merge", "-p", '{"data":{"b":"2"}}')
    old["data"] = {"c": "3"}
    stale = kubectl("replace", "-f", "-", stdin=json.dumps(old), status=1)
    assert 'Operation cannot be fulfilled on configmaps "cm": the object has been modified' in stale
    del old["metadata"]["resourceVersion"]
    assert kubectl("replace", "-f", "-", stdin=json.dumps(old)) == "configmap/cm replaced\n"
    assert live(kubectl, ns, "cm/cm")["data"] == {"c": "3"}
    before = live(kubectl, ns, "cm/cm")["metadata"]["uid"]
    assert kubectl("replace", "--force", "-f", "-", stdin=json.dumps(old)).endswith("configmap/cm replaced\n")
    assert live(kubectl, ns, "cm/cm")["metadata"]["uid"] != before
    missing = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nope", "namespace": ns}})
    assert 'configmaps "nope" not found' in kubectl("replace", "-f", "-", stdin=missing, status=1)


def test_dry_runs_leave_nothing(kubectl: Kubectl, ns: str) -> None:
    kubectl("create", "configmap", "cm", "--from-literal=a=1", "-n", ns)
    version = live(kubectl, ns, "cm/cm")["metadata"]["resourceVersion"]
    assert kubectl("label", "cm", "cm", "x=y", "-n", ns, "--dry-run=server").startswith("configmap/cm labeled")
    assert "(server dry run)" in kubectl("delete", "cm", "cm", "-n", ns, "--dry-run=server")
    assert "(dry run)" in kubectl("delete", "cm", "cm", "-n", ns, "--dry-run=client")
    assert "patched" in kubectl("patch", "cm", "cm", "-n", ns, "--dry-run=server", "--type=merge", "-p", '{"data":{"a":"2"}}')
    assert "(dry run)" in kubectl("run", "p", "--image=x", "-n", ns, "--dry-run=client")
    assert live(kubectl, ns, "cm/cm")["metadata"]["resourceVersion"] == version
    assert kubectl("get", "pods", "-n", ns, "-o", "name") == ""


def test_unknown_and_duplicate_fields(kubectl: Kubectl, ns: str) -> None:
    wrong = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "foo": 1}, "bar": 2})
    if kubectl.is_old:  # it validates by itself
        assert 'unknown field "bar"' in kubectl("create", "-n", ns, "-f", "-", stdin=wrong, status=1)
        return
    refused = kubectl("create", "--validate=strict", "-n", ns, "-f", "-", stdin=wrong, status=1)
    assert 'strict decoding error: unknown field "bar", unknown field "metadata.foo"' in refused
    warned = kubectl.run("create", "--validate=warn", "-n", ns, "-f", "-", stdin=wrong)
    assert (warned.returncode, warned.stdout) == (0, "configmap/cm created\n")
    assert 'Warning: unknown field "bar"' in warned.stderr
    kubectl("delete", "cm", "cm", "-n", ns)
    assert kubectl.run("create", "--validate=ignore", "-n", ns, "-f", "-", stdin=wrong).stderr == ""


def test_delete_by_name_label_field_file_and_all(kubectl: Kubectl, ns: str) -> None:
    for name in ("a", "b", "c", "d", "e"):
        kubectl("create", "-n", ns, "-f", "-", stdin=manifest(name))
    assert kubectl("delete", "-n", ns, "pod", "a") == 'pod "a" deleted\n'
    assert kubectl("delete", "-n", ns, "pod", "-l", "app in (b)") == 'pod "b" deleted\n'
    assert kubectl("delete", "-n", ns, "pod", "--field-selector=metadata.name=c") == 'pod "c" deleted\n'
    assert kubectl("delete", "-n", ns, "-f", "-", stdin=manifest("d")) == 'pod "d" deleted\n'
    assert kubectl("delete", "-n", ns, "pods", "--all", "-o", "name") == "pod/e\n"
    assert 'pods "a" not found' in kubectl("delete", "-n", ns, "pod", "a", status=1)
    assert kubectl("delete", "-n", ns, "pod", "a", "--ignore-not-found") == ""


def test_delete_now_by_force_and_with_every_cascade(kubectl: Kubectl, podspace: Server) -> None:
    stubborn = pods.container("c", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    for name in ("now", "forced", "foreground", "orphan"):
        podspace.apply(pods.pod(name, stubborn, terminationGracePeriodSeconds=600))
        podspace.wait_ready(name)
    assert 'pod "now" deleted' in kubectl("delete", "pod", "now", "--now")
    forced = kubectl.run("delete", "pod", "forced", "--force", "--grace-period=0")
    assert (forced.returncode, "Immediate deletion does not wait for confirmation" in forced.stderr) == (0, True)
    for cascade in ("foreground", "orphan"):
        assert f'pod "{cascade}" deleted' in kubectl("delete", "pod", cascade, f"--cascade={cascade}", "--grace-period=1")
    assert kubectl("get", "pods", "-o", "name") == ""


def test_finalizers_hold_and_preconditions_refuse(kubectl: Kubectl, ns: str) -> None:
    kubectl("create", "configmap", "held", "-n", ns)
    finalizers = ("patch", "cm", "held", "-n", ns, "--type=merge", "-p")
    kubectl(*finalizers, '{"metadata":{"finalizers":["example.com/hold"]}}')
    kubectl("delete", "cm", "held", "-n", ns, "--wait=false")
    assert "deletionTimestamp" in live(kubectl, ns, "cm/held")["metadata"]
    assert "timed out waiting" in kubectl("delete", "cm", "held", "-n", ns, "--timeout=1s", status=1)
    kubectl(*finalizers, '{"metadata":{"finalizers":null}}')
    assert kubectl("get", "cm", "held", "-n", ns, "--ignore-not-found") == ""
    kubectl("create", "configmap", "kept", "-n", ns)
    options = json.dumps({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}})
    path = f"/api/v1/namespaces/{ns}/configmaps/kept"
    refused = kubectl("delete", "--raw", path, "-f", "-", stdin=options, status=1)
    assert "the UID in the precondition (other) does not match the UID in record" in refused
    assert live(kubectl, ns, "cm/kept")["metadata"]["name"] == "kept"


def test_a_collection_is_deleted_at_once(kubectl: Kubectl, ns: str) -> None:
    for name in ("a", "b", "c"):
        kubectl("create", "configmap", name, "-n", ns)
    kubectl("label", "cm", "a", "b", "group=1", "-n", ns)
    kubectl("delete", "--raw", f"/api/v1/namespaces/{ns}/configmaps?labelSelector=group%3D1")
    assert kubectl("get", "cm", "-n", ns, "-o", "name") == "configmap/c\nconfigmap/kube-root-ca.crt\n"


def test_wait_for_every_kind_of_thing(kubectl: Kubectl, ns: str) -> None:
    obj = pods.pod("p")
    if not kubectl.is_old:
        waiting = kubectl.start("wait", "--for=create", "pod/p", "-n", ns, "--timeout=60s")
        kubectl("create", "-n", ns, "-f", "-", stdin=json.dumps(obj))
        assert waiting.communicate(timeout=60)[0] == "pod/p condition met\n"
        by_path = kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/p", "-n", ns, "--timeout=60s")
        assert by_path == "pod/p condition met\n"
    else:
        kubectl("create", "-n", ns, "-f", "-", stdin=json.dumps(obj))
    assert kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=p", "-n", ns, "--timeout=60s") == "pod/p condition met\n"
    waiting = kubectl.start("wait", "--for=delete", "pod/p", "-n", ns, "--timeout=60s")
    kubectl("delete", "pod", "p", "-n", ns, "--now", "--wait=false")
    said = waiting.communicate(timeout=60)[0]
    assert waiting.returncode == 0 or (kubectl.is_old and "not found" in said), said  # 1.20 may have looked too late
    if not kubectl.is_old:
        assert kubectl("wait", "--for=delete", "pod/p", "-n", ns, "--timeout=5s") == ""

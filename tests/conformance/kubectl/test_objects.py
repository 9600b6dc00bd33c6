"""What kubectl shows and changes, with Pods that really run: get, describe, explain, apply, edit, label, replace, wait, delete."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.conformance.kubectl.conftest import Kubectl
from tests.conformance.kubectl.pods import container, pod
from tests.support.server import Server

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def running(podspace: Server) -> None:
    """A Pod with two containers that every test may look at."""
    podspace.apply(pod("ma", container(), container("d"), shareProcessNamespace=True))
    podspace.wait_ready("ma")


def test_a_list_and_several_documents_are_applied_at_once(kubectl: Kubectl, podspace: Server) -> None:
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "in-a-list"}, "data": {"a": "b"}}
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod("la"), configmap]})
    assert kubectl("apply", "-f", "-", stdin=listed) == "pod/la created\nconfigmap/in-a-list created\n"
    assert kubectl("apply", "-f", "-", stdin=listed) == "pod/la unchanged\nconfigmap/in-a-list unchanged\n"
    documents = f"# YAML\n{json.dumps(pod('mb'))}\n---\n---\n{json.dumps(pod('mc'))}\n"
    assert kubectl("apply", "-f", "-", stdin=documents) == "pod/mb created\npod/mc created\n"
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s")
    assert kubectl("delete", "-f", "-", stdin=listed).splitlines()[1] == 'configmap "in-a-list" deleted'
    assert len(kubectl("delete", "pod", "mb", "mc", "--now").splitlines()) == 2


def test_an_unknown_field_is_found(kubectl: Kubectl) -> None:
    wrong = json.dumps(pod("wrong", container(bar=2), foo=1))
    refused = kubectl("create", "-f", "-", stdin=wrong, status=1)
    assert 'unknown field "spec.foo"' in refused or 'unknown field "foo" in io.k8s.api.core.v1.PodSpec' in refused
    assert kubectl("get", "pod", "wrong", "--ignore-not-found") == ""


def test_a_dry_run_of_the_server_leaves_nothing(kubectl: Kubectl) -> None:
    assert kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod("dry"))) == "pod/dry created (server dry run)\n"
    assert kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod("dry"))) == "pod/dry created (server dry run)\n"
    assert "AlreadyExists" in kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod("ma")), status=1)
    assert kubectl("get", "pod", "dry", "--ignore-not-found") == ""


def test_a_changed_manifest_is_merged_by_what_openapi_says_of_lists(kubectl: Kubectl) -> None:
    manifest = pod("ap", container(env=[{"name": "A", "value": "1"}], ports=[{"containerPort": 80}]), container("d"), labels={"a": "1"})
    manifest["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    manifest["metadata"]["labels"] = {"b": "2"}
    manifest["spec"]["containers"][1]["image"] = "busybox"
    changed = kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest))
    assert (changed.stdout, changed.stderr) == ("pod/ap configured\n", "")
    live = json.loads(kubectl("get", "pod", "ap", "-o", "json"))
    assert live["metadata"]["labels"] == {"b": "2"}
    assert [one["image"] for one in live["spec"]["containers"]] == ["busybox:1.28", "busybox"]
    assert kubectl("apply", "-f", "-", stdin=json.dumps(manifest)) == "pod/ap unchanged\n"
    assert kubectl.run("diff", "-f", "-", stdin=json.dumps(manifest)).returncode == 0
    kubectl("delete", "pod", "ap", "--now")


def test_a_refused_update_shows_what_differs_and_nothing_else(kubectl: Kubectl) -> None:
    manifest = pod("fix", container("c", "sleep", "3600"))
    kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    kubectl("wait", "--for=condition=Ready", "pod/fix", "--timeout=30s")
    manifest["spec"]["containers"][0]["command"] = ["sleep", "3601"]
    refused = kubectl("replace", "-f", "-", stdin=json.dumps(manifest), status=1)
    assert 'The Pod "fix" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`' in refused
    changes = [line for line in refused.splitlines() if re.match("[-+] ", line)]
    assert changes == ['-    "3600"', '+    "3601"', f'- "nodeName": "{socket.gethostname()}",']
    forced = kubectl("replace", "--force", "-f", "-", stdin=json.dumps(manifest))
    assert forced == 'pod "fix" deleted\npod/fix replaced\n'
    assert kubectl("delete", "pod", "fix", "--now") == 'pod "fix" deleted\n'


def test_labels_and_annotations(kubectl: Kubectl) -> None:
    assert kubectl("label", "pod", "ma", "x=y") == "pod/ma labeled\n"
    assert "'x' already has a value (y), and --overwrite is false" in kubectl("label", "pod", "ma", "x=z", status=1)
    assert kubectl("label", "pod", "ma", "x=z", "--overwrite") == "pod/ma labeled\n"
    assert kubectl("get", "pods", "-L", "x", "-l", "x in (z)", "--no-headers").split()[-1] == "z"
    assert kubectl("get", "pods", "-l", "x notin (z),app=ma", "-o", "name") == ""
    kubectl("label", "pod", "ma", "x-")
    kubectl("annotate", "pod", "ma", "note=a b")
    assert kubectl("get", "pod", "ma", "-o", "jsonpath={.metadata.annotations.note}") == "a b"
    kubectl("annotate", "pod", "ma", "note-")
    refused = kubectl("label", "pod", "ma", "x y=1", status=1)
    assert "name part must consist of alphanumeric characters" in refused


def test_edit_sends_what_the_editor_left(kubectl: Kubectl, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "$CHANGE" "$1"\n')
    editor.chmod(0o755)

    def edit(change: str) -> tuple[int, str]:
        done = kubectl.run("edit", "pod", "ma", EDITOR=str(editor), CHANGE=change, TMPDIR=str(tmp_path))
        return done.returncode, done.stdout + done.stderr

    assert edit("s/    app: ma$/    app: edited/") == (0, "pod/ma edited\n")
    assert kubectl("get", "pod", "ma", "-o", "jsonpath={.metadata.labels.app}") == "edited"
    assert edit("s/    app: edited$/    app: ma/") == (0, "pod/ma edited\n")
    status, said = edit("s/nothing like this//")
    assert (status, "no changes made" in said) == (0, True)
    status, said = edit("s/restartPolicy: Always/restartPolicy: Never/")
    assert (status, 'pods "ma" is invalid' in said) == (1, True)


def test_waiting_for_a_field_a_condition_and_an_absence(kubectl: Kubectl) -> None:
    if not kubectl.is_old:  # 1.23 brought it
        assert kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/ma", "--timeout=10s") == "pod/ma condition met\n"
        assert kubectl("wait", "--for=jsonpath={.status.podIP}", "pod/ma", "--timeout=10s") == "pod/ma condition met\n"
    assert "timed out waiting" in kubectl("wait", "--for=condition=Ready=False", "pod/ma", "--timeout=1s", status=1)
    assert '"nope" not found' in kubectl("wait", "--for=condition=Ready", "pod/nope", "--timeout=1s", status=1)
    kubectl("run", "goes", "--image=busybox:1.28", "--restart=Never", "--", "sleep", "3600")
    waiting = kubectl.start("wait", "--for=delete", "pod/goes", "--timeout=30s")
    kubectl("delete", "pod", "goes", "--now", "--wait=false")
    said = waiting.communicate(timeout=40)[0]
    if not (kubectl.is_old and "not found" in said):  # 1.20 cannot wait for what is gone before it has looked
        assert (waiting.returncode, said in ("", "pod/goes condition met\n")) == (0, True), said


def test_a_watch_shows_a_pods_life(kubectl: Kubectl) -> None:
    watching = kubectl.start("get", "pods", "-w", "--no-headers")
    assert watching.stdout is not None
    try:
        while not watching.stdout.readline().startswith("ma "):
            pass  # from here on it watches
        kubectl("run", "short", "--image=busybox:1.28", "--restart=Never", "--", "true")
        shown = []
        for line in watching.stdout:
            name, _, status = line.split()[:3]
            if name == "short":
                shown.append(status)
                if status == "Completed":
                    break
        assert shown[0] == "Pending"
    finally:
        watching.kill()
        watching.communicate()
    kubectl("delete", "pod", "short", "--now")


def test_events_are_told_in_order(kubectl: Kubectl) -> None:
    rows = kubectl("get", "events", "--field-selector=involvedObject.name=ma", "--no-headers").splitlines()
    reasons = [row.split()[2] for row in rows]
    assert reasons[0] == "Scheduled"
    assert reasons.count("Started") == 2
    assert all(row.split()[3] == "pod/ma" for row in rows)
    if not kubectl.is_old:
        assert "Successfully assigned default/ma to" in kubectl("events", "--for", "pod/ma")


def test_describe(kubectl: Kubectl) -> None:
    said = kubectl("describe", "pod", "ma")
    assert re.search(r"^Status: +Running$", said, re.MULTILINE)
    assert len(re.findall(r"Normal +Started +\S+ +kubelet ", said)) == 2
    node = kubectl("describe", "node")
    assert "Ready            True" in node
    assert re.search(r"default +ma ", node)


def test_explain_shows_what_sharing_means(kubectl: Kubectl) -> None:
    said = kubectl("explain", "pod.spec.shareProcessNamespace")
    assert re.search(r"^FIELD: +shareProcessNamespace <boolean>$", said, re.MULTILINE)
    assert "Share a single process namespace between all of the containers in a pod." in " ".join(said.split())
    assert 'field "nope" does not exist' in kubectl("explain", "pod.spec.nope", status=1)


def test_what_the_server_has_is_listed(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources")
    assert re.search(r"^pods +po +v1 +true +Pod$", listed, re.MULTILINE)
    assert "v1\n" in kubectl("api-versions")
    assert "Kubernetes control plane" in kubectl("cluster-info")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "Server Version" in kubectl("version")


def test_what_the_server_has_not_is_said_cleanly(kubectl: Kubectl) -> None:
    assert kubectl("get", "foo", status=1) == 'error: the server doesn\'t have a resource type "foo"\n'
    assert kubectl("get", "pod", "nope", status=1) == 'Error from server (NotFound): pods "nope" not found\n'


@pytest.mark.parametrize(
    ("flag", "labels", "fields", "reason"),
    [
        ("--field-selector=spec.foo=1", "", "spec.foo=1", "field label not supported: spec.foo"),
        ("--selector=a in (", "a in (", "", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
    ],
)
def test_a_selector_that_is_not_understood_is_told_once(podspace: Server, flag: str, labels: str, fields: str, reason: str) -> None:
    said = podspace.run("kubectl", "get", "pods", flag, check=False).stderr
    where = f'Unable to find "/v1, Resource=pods" that match label selector "{labels}", field selector "{fields}"'
    assert said == f"Error from server (BadRequest): {where}: {reason}\n"


def test_a_kind_that_is_misspelt_is_named(kubectl: Kubectl) -> None:
    said = kubectl("create", "-f", "-", stdin="apiVersion: v1\nkind: Pdo\nmetadata: {name: x}\n", status=1)
    assert 'no matches for kind "Pdo" in version "v1"' in said

"""What kubectl shows, in every form it has: get, its selectors, orders and pages; describe; explain of every field."""

from __future__ import annotations

import json
import re
import socket

import pytest

from podspace.kube import schema
from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.server import Server

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def shown(podspace: Server) -> None:
    """``one`` runs; ``two`` waits for a node that is not there; a namespace of its own with a few small objects."""
    one, two = pods.pod("one", labels={"app": "a", "tier": "front"}), pods.pod("two", labels={"app": "b"}, nodeSelector={"no": "where"})
    items = [one, two, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "many"}}]
    items += [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"cm-{number}", "namespace": "many"}, "data": {"k": "v"}}
        for number in range(7)
    ]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"password": "not-to-be-shown"}}
    podspace.apply({"apiVersion": "v1", "kind": "List", "items": [*items, secret]})
    podspace.wait_ready("one")


def names(kubectl: Kubectl, *argv: str) -> list[str]:
    return kubectl("get", "pods", "-o", "name", *argv).split()


def test_every_form_of_output(kubectl: Kubectl) -> None:
    assert kubectl("get", "pods", "-o", "name") == "pod/one\npod/two\n"
    assert [item["metadata"]["name"] for item in json.loads(kubectl("get", "pods", "-o", "json"))["items"]] == ["one", "two"]
    assert "\n  name: one\n" in kubectl("get", "pod", "one", "-o", "yaml")
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}") == "one two"
    assert kubectl("get", "pods", "-o", "go-template={{range .items}}<{{.metadata.name}}>{{end}}") == "<one><two>"
    columns = kubectl("get", "pods", "-o", "custom-columns=NAME:.metadata.name,NODE:.spec.nodeName").splitlines()
    assert [line.split() for line in columns] == [["NAME", "NODE"], ["one", socket.gethostname()], ["two", "<none>"]]
    wide = kubectl("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"]
    assert wide[1].split()[:4] == ["one", "1/1", "Running", "0"]
    assert wide[2].split()[:4] == ["two", "0/1", "Pending", "0"]
    assert kubectl("get", "pods", "--show-labels", "--no-headers").splitlines()[0].split()[-1] == "app=a,tier=front"
    assert [line.split()[-1] for line in kubectl("get", "pods", "-L", "app").splitlines()] == ["APP", "a", "b"]


def test_selectors_of_labels_and_fields(kubectl: Kubectl) -> None:
    here, ip = socket.gethostname(), kubectl("get", "pod", "one", "-o", "jsonpath={.status.podIP}")
    for selector in ("app=a", "app in (a,c)", "app!=b", "tier", "app notin (b)", "app=a,tier=front"):
        assert names(kubectl, "-l", selector) == ["pod/one"], selector
    assert names(kubectl, "-l", "!tier") == ["pod/two"]
    for selector in ("metadata.name=one", "metadata.name!=two", "status.phase=Running", f"spec.nodeName={here}", f"status.podIP={ip}"):
        assert names(kubectl, f"--field-selector={selector}") == ["pod/one"], selector
    assert names(kubectl, "--field-selector=status.phase!=Running,metadata.namespace=default", "-A") == ["pod/two"]
    assert names(kubectl, "--field-selector=metadata.namespace=many", "-A") == []


def test_orders_and_pages(kubectl: Kubectl) -> None:
    assert names(kubectl, "--sort-by=.metadata.name") == ["pod/one", "pod/two"]
    by_status = kubectl("get", "pods", "--sort-by=.status.phase", "--no-headers").splitlines()
    assert [line.split()[0] for line in by_status] == ["two", "one"]
    paged = kubectl("get", "cm", "-n", "many", "--chunk-size=2", "-o", "name")
    assert paged == kubectl("get", "cm", "-n", "many", "-o", "name")
    assert paged.count("configmap/cm-") == 7
    first = json.loads(kubectl("get", "--raw", "/api/v1/namespaces/many/configmaps?limit=3"))["metadata"]
    assert first["remainingItemCount"] == 5
    rest = json.loads(kubectl("get", "--raw", f"/api/v1/namespaces/many/configmaps?limit=10&continue={first['continue']}"))
    assert (len(rest["items"]), "continue" in rest["metadata"]) == (5, False)


def test_several_kinds_and_every_namespace(kubectl: Kubectl) -> None:
    assert "pod/one " in kubectl("get", "all")
    assert kubectl("get", "pod/one", "secret/hidden", "-o", "name") == "pod/one\nsecret/hidden\n"
    assert {"default", "many", "kube-system"} <= {line.split()[0] for line in kubectl("get", "cm", "-A", "--no-headers").splitlines()}
    assert "No resources found in many namespace." in kubectl.run("get", "pods", "-n", "many").stderr
    assert kubectl("get", "pod", "one", "nope", status=1).endswith('Error from server (NotFound): pods "nope" not found\n')


def test_a_watch_begins_with_what_is_there_and_goes_on(kubectl: Kubectl) -> None:
    watching = kubectl.start("get", "pods", "-w", "-A", "-l", "watched", "-o", "name")
    assert watching.stdout is not None
    try:
        kubectl("label", "pod", "one", "watched=yes", "--overwrite")
        assert watching.stdout.readline() == "pod/one\n"
        kubectl("label", "pod", "one", "watched-")
    finally:
        watching.kill()
        watching.communicate()


def test_describe_tells_of_every_kind(kubectl: Kubectl) -> None:
    pod = kubectl("describe", "pod", "two")
    assert re.search(r"^Status: +Pending$", pod, re.MULTILINE)
    assert re.search(r"Warning +FailedScheduling +\S+( \S+)? +default-scheduler ", pod)
    secret = kubectl("describe", "secret", "hidden")
    assert "password:  15 bytes" in secret
    assert "not-to-be-shown" not in secret
    assert "k:\n----\nv\n" in kubectl("describe", "cm", "cm-0", "-n", "many")
    assert re.search(r"^Status: +Active$", kubectl("describe", "namespace", "many"), re.MULTILINE)
    node = kubectl("describe", "node", socket.gethostname())
    assert re.search(r"^Non-terminated Pods: +\(1 in total\)$", node, re.MULTILINE)
    assert re.search(r"^ +Kubelet Version: +v1\.", node, re.MULTILINE)
    assert kubectl("describe", "pods", "-l", "app").count("\nNode-Selectors:") == 2


def test_explain_knows_every_field_of_a_pod(kubectl: Kubectl) -> None:
    told = kubectl("explain", "pod", "--recursive")
    fields = {line.split()[0] for line in told.splitlines() if "\t<" in line}
    assert {*schema.fields("PodSpec"), *schema.fields("PodStatus"), *schema.fields("Container"), *schema.fields("Volume")} <= fields
    for path, kind in (("spec.containers.env.value", "string"), ("spec.hostPID", "boolean"), ("spec.containers.ports.hostPort", "integer")):
        said = kubectl("explain", f"pod.{path}")
        assert re.search(rf"^FIELD: +{path.rpartition('.')[2]} <{kind}>$", said, re.MULTILINE)
        assert len(said.partition("DESCRIPTION:")[2].split()) > 3
    if not kubectl.is_old:  # it has both documents' texts
        old_text = kubectl("explain", "pod.spec.hostPID", "--output=plaintext-openapiv2")
        assert "Use the host's pid namespace." in " ".join(old_text.split())


def test_completion_and_configuration_work_against_it(kubectl: Kubectl) -> None:
    assert kubectl("config", "current-context") == "podspace\n"
    assert "server: https://127.0.0.1:" in kubectl("config", "view", "--minify")
    assert "kubectl" in kubectl("completion", "bash")
    if not kubectl.is_old:  # 1.20 leaves that to its script
        assert kubectl("__complete", "get", "pods", "").splitlines()[:2] == ["one", "two"]
        assert {"default", "many"} <= set(kubectl("__complete", "get", "pods", "-n", "").splitlines())

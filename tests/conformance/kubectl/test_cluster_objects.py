"""What surrounds a Pod: namespaces, service accounts, ConfigMaps and Secrets, events of both groups, the node."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.pods import node_name
from tests.support.server import Server

pytestmark = pytest.mark.root


def objects(kubectl: Kubectl, *argv: str) -> Any:
    return json.loads(kubectl("get", *argv, "-o", "json"))


def test_a_namespace_has_its_furniture_and_goes_with_all_it_holds(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "room")
    _wait_for_furniture(kubectl, "room")
    assert "-----BEGIN CERTIFICATE-----" in kubectl("get", "cm", "kube-root-ca.crt", "-n", "room", "-o", "jsonpath={.data.ca\\.crt}")
    assert kubectl("get", "sa", "-n", "room", "-o", "name") == "serviceaccount/default\n"
    assert objects(kubectl, "ns", "room")["metadata"]["labels"] == {"kubernetes.io/metadata.name": "room"}
    kubectl("create", "-n", "room", "-f", "-", stdin=json.dumps(pods.pod("p")))
    kubectl("create", "secret", "generic", "s", "-n", "room")
    kubectl("wait", "--for=condition=Ready", "pod/p", "-n", "room", "--timeout=60s")
    kubectl("delete", "cm", "kube-root-ca.crt", "-n", "room")
    kubectl("delete", "sa", "default", "-n", "room")
    kubectl("patch", "cm", "kube-root-ca.crt", "--type=merge", "-p", '{"data":{"ca.crt":"","more":"x"}}')
    _wait_for_furniture(kubectl, "room", "default")  # all comes back
    assert kubectl("delete", "namespace", "room") == 'namespace "room" deleted\n'
    assert kubectl("get", "pods,secrets,cm,sa,events", "-n", "room", "-o", "name") == ""
    assert "this namespace may not be deleted" in kubectl("delete", "namespace", "default", status=1)


def _wait_for_furniture(kubectl: Kubectl, *namespaces: str) -> None:
    """A controller sees to it, after the namespace has been answered."""
    deadline = time.monotonic() + 60
    while not all(_furnished(kubectl, one) and "default" in kubectl("get", "sa", "-n", one) for one in namespaces):
        assert time.monotonic() < deadline


def _furnished(kubectl: Kubectl, namespace: str) -> bool:
    found = kubectl("get", "cm", "kube-root-ca.crt", "-n", namespace, "--ignore-not-found", "-o", "jsonpath={.data}")
    return "BEGIN CERTIFICATE" in found and "more" not in found


def test_a_token_opens_the_api_for_its_account(kubectl: Kubectl, podspace: Server) -> None:
    kubectl("create", "sa", "robot")
    if not kubectl.is_old:  # 1.24 brought it
        token = kubectl("create", "token", "robot", "--duration=1h").strip()
        config = (f"--server=https://127.0.0.1:{podspace.port}", "--insecure-skip-tls-verify", f"--token={token}", "--kubeconfig=/dev/null")
        assert "system:serviceaccount:default:robot" in kubectl("auth", "whoami", *config)
        assert kubectl("auth", "can-i", "create", "pods", *config, status=1).startswith("no")
        refused = kubectl("get", "pods", *config, status=1)
        assert 'User "system:serviceaccount:default:robot" cannot list resource "pods" in API group ""' in refused
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:robot", status=1).startswith("no")
    kubectl("delete", "sa", "robot")


def test_what_is_immutable_or_of_a_wrong_type_is_refused(kubectl: Kubectl) -> None:
    fixed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed"}, "immutable": True, "data": {"a": "1"}}
    kubectl("create", "-f", "-", stdin=json.dumps(fixed))
    refused = kubectl("patch", "cm", "fixed", "--type=merge", "-p", '{"data":{"a":"2"}}', status=1)
    assert "data: Forbidden: field is immutable when `immutable` is set" in refused
    refused = kubectl("patch", "cm", "fixed", "--type=merge", "-p", '{"immutable":false}', status=1)
    assert "immutable: Forbidden: field is immutable when `immutable` is set" in refused
    kubectl("label", "cm", "fixed", "still=free")
    kubectl("delete", "cm", "fixed")
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "typed"}}
    for kind, words in (
        ("kubernetes.io/tls", "data[tls.crt]: Required value"),
        ("kubernetes.io/dockerconfigjson", "data[.dockerconfigjson]: Required value"),
        ("kubernetes.io/ssh-auth", "data[ssh-privatekey]: Required value"),
        ("kubernetes.io/basic-auth", "data[username]: Required value"),
    ):
        assert words in kubectl("create", "-f", "-", stdin=json.dumps({**head, "type": kind, "data": {}}), status=1)
    kubectl("create", "secret", "generic", "typed", "--from-literal=a=1")
    assert "field is immutable" in kubectl("patch", "secret", "typed", "--type=merge", "-p", '{"type":"foo/bar"}', status=1)
    kubectl("delete", "secret", "typed")


def test_events_of_both_groups_are_the_same_objects(kubectl: Kubectl) -> None:
    stamp = "2026-01-02T03:04:05.000000Z"
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "told.1", "namespace": "default"},
        "eventTime": stamp,
        "reportingController": "example.com/teller",
        "reportingInstance": "teller-1",
        "action": "Telling",
        "reason": "Told",
        "type": "Normal",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "nobody", "namespace": "default"},
        "note": "a story",
        "series": {"count": 3, "lastObservedTime": stamp},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(event))
    core = objects(kubectl, "events", "told.1")
    assert (core["involvedObject"]["name"], core["message"], core["reportingComponent"]) == ("nobody", "a story", "example.com/teller")
    assert core["series"]["count"] == 3
    new = objects(kubectl, "events.events.k8s.io", "told.1")
    assert (new["regarding"]["name"], new["note"], new["metadata"]["uid"]) == ("nobody", "a story", core["metadata"]["uid"])
    assert "a story" in kubectl("get", "events", "--field-selector=involvedObject.name=nobody,reason=Told", "--no-headers")
    if not kubectl.is_old:
        assert "a story" in kubectl("events", "--for=pod/nobody")
        assert "a story" not in kubectl("events", "--types=Warning")
    kubectl("delete", "event", "told.1")


def test_a_repeated_event_is_counted(kubectl: Kubectl, podspace: Server) -> None:
    podspace.apply(pods.pod("crashes", pods.container("c", "false")))
    deadline = time.monotonic() + 60
    while not any(event.get("count", 0) > 1 for event in _about(kubectl, "crashes")):
        assert time.monotonic() < deadline, _about(kubectl, "crashes")
        time.sleep(0.2)
    kubectl("delete", "pod", "crashes", "--now")


def _about(kubectl: Kubectl, name: str) -> list[Any]:
    return list(objects(kubectl, "events", f"--field-selector=involvedObject.name={name}")["items"])


def test_a_node_that_is_drained_loses_its_pods_and_takes_no_more(kubectl: Kubectl, podspace: Server) -> None:
    node = node_name(podspace)
    podspace.apply(pods.pod("leaves"))
    podspace.wait_ready("leaves")
    assert kubectl("cordon", node) == f"node/{node} cordoned\n"
    assert f"{node} Ready,SchedulingDisabled " in " ".join(kubectl("get", "nodes").split())
    assert "cannot delete Pods" in kubectl("drain", node, status=1).replace("cannot delete pods", "cannot delete Pods")
    drained = kubectl("drain", node, "--force", "--timeout=60s")
    assert f"node/{node}" in drained.splitlines()[-1]
    assert kubectl("get", "pods", "-o", "name") == ""
    podspace.apply(pods.pod("waits"))
    assert kubectl("get", "pod", "waits", "-o", "jsonpath={.spec.nodeName}") == ""
    assert kubectl("uncordon", node) == f"node/{node} uncordoned\n"
    podspace.wait_ready("waits")
    kubectl("taint", "node", node, "example.com/away=yes:NoExecute")
    deadline = time.monotonic() + 60  # kubectl 1.20 fails to wait for what is gone already
    while kubectl("get", "pod", "waits", "--ignore-not-found", "-o", "name"):
        assert time.monotonic() < deadline
    kubectl("taint", "node", node, "example.com/away-")
    assert "example.com/away" not in kubectl("describe", "node", node)

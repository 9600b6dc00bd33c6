"""Where a Pod may run, on one node: the scheduler's words for those that wait, and what makes them go on, or go."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "exec sleep 7600"
HOPELESS = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
NO_VICTIMS = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
AFFINITY = "1 node(s) didn't match Pod's node affinity/selector."


def near(kind: str, app: str) -> pods.Manifest:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def named(value: str) -> pods.Manifest:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [value]}]}]
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}


def spread(key: str) -> pods.Manifest:
    selector = {"matchLabels": {"app": "x"}}
    return {
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]
    }


def waits(node: Server, name: str) -> str:
    node.wait_for(name, "{.status.conditions[0].reason}=Unschedulable")
    message = str(node.pod(name)["status"]["conditions"][0]["message"])
    assert ("FailedScheduling", message) in pods.told(node, name)
    return message.removeprefix("0/1 nodes are available: ")


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server) -> None:
    elsewhere = {"nodeName": pods.node_name(node), "nodeSelector": {"disk": "ssd"}}
    pods.create(
        node,
        pod("by-label", box(FOREVER), nodeSelector={"disk": "ssd"}),
        pod("by-name", box(FOREVER), **named("elsewhere")),
        pod("by-name-here", box("true"), **named(pods.node_name(node))),
        pod("lonely", box(FOREVER), **near("podAffinity", "nobody")),
        pod("spread", box(FOREVER), **spread("rack")),
        pod("never", box(FOREVER), preemptionPolicy="PreemptLowerPriority", nodeSelector={"disk": "ssd"}),
        pod("bound-elsewhere", box(FOREVER), **elsewhere),
        pod("windows", {"name": "c", "image": pods.IMAGE}, os={"name": "windows"}),
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("by-label", f"{AFFINITY} {HOPELESS}"),
        ("by-name", f"{AFFINITY} {HOPELESS}"),
        ("lonely", f"1 node(s) didn't match pod affinity rules. {HOPELESS}"),
        ("spread", f"1 node(s) didn't match pod topology spread constraints (missing required label). {HOPELESS}"),
    ],
)
def test_why_a_pod_is_not_run_is_said_in_the_schedulers_words(node: Server, name: str, words: str) -> None:
    assert waits(node, name) == words
    node.wait_for("by-name-here", "{.status.phase}=Succeeded")


def test_pods_that_must_not_be_together_wait_for_each_other(node: Server) -> None:
    labels = {"labels": {"app": "apart"}}
    pods.create(node, pod("apart-1", box(FOREVER), metadata=labels, **near("podAntiAffinity", "apart")))
    node.wait_ready("apart-1")
    pods.create(node, pod("apart-2", box(FOREVER), metadata=labels), pod("apart-3", box(FOREVER), **near("podAntiAffinity", "apart")))
    assert waits(node, "apart-2") == f"1 node(s) didn't satisfy existing pods anti-affinity rules. {NO_VICTIMS}"
    assert waits(node, "apart-3") == f"1 node(s) didn't match pod anti-affinity rules. {NO_VICTIMS}"
    node.kubectl("label", "pod", "apart-1", "app-")  # its own rule still keeps the second away
    node.wait_ready("apart-3")
    node.kubectl("delete", "pod", "apart-1", "apart-3")
    node.wait_ready("apart-2")


def test_pods_that_want_to_be_together_are_run_once_there_is_somebody(node: Server) -> None:
    pods.create(node, pod("friend", box("true"), **near("podAffinity", "host")))
    assert waits(node, "friend").startswith("1 node(s) didn't match pod affinity rules.")
    pods.create(node, pod("host", box(FOREVER), metadata={"labels": {"app": "host"}}))
    node.wait_for("friend", "{.status.phase}=Succeeded")


def test_gates_hold_a_pod_back(node: Server) -> None:
    pods.create(node, pod("gated", box("true"), schedulingGates=[{"name": "example.com/wait"}]))
    condition = node.pod("gated")["status"]["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "SchedulingGated")
    assert "SchedulingGated" in node.kubectl("get", "pod", "gated")
    node.kubectl("patch", "pod", "gated", "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates"}]')
    node.wait_for("gated", "{.status.phase}=Succeeded")
    assert not any(reason == "FailedScheduling" for reason, _ in pods.told(node, "gated"))


def test_a_pod_bound_by_hand_to_a_node_it_does_not_want_fails(node: Server) -> None:
    node.wait_for("bound-elsewhere", "{.status.phase}=Failed")
    status = node.pod("bound-elsewhere")["status"]
    words = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    assert (status["reason"], status["message"]) == ("NodeAffinity", f"Pod was rejected: {words}")


@pytest.mark.parametrize("finalizers", [[], ["example.com/keeps"]])
def test_a_pod_of_a_node_that_is_not_here_can_be_deleted(node: Server, finalizers: list[str]) -> None:
    pods.create(node, pod("nowhere", box(FOREVER), nodeName="nowhere", metadata={"finalizers": finalizers}))
    pods.wait_told(node, "nowhere", "FailedScheduling")
    node.kubectl("delete", "pod", "nowhere", "--wait=false")
    if finalizers:
        node.wait_for("nowhere", "{.metadata.deletionGracePeriodSeconds}=0")
        node.kubectl("patch", "pod", "nowhere", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    node.kubectl("wait", "pod/nowhere", "--for=delete", "--timeout=10s")


def test_another_operating_system_is_not_this_nodes(node: Server) -> None:
    node.wait_for("windows", "{.status.phase}=Failed")
    status = node.pod("windows")["status"]
    words = "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS"
    assert (status["reason"], status["message"]) == ("PodOSNotSupported", words)


@pytest.fixture
def tainted(own_server: Server) -> Iterator[Server]:
    yield own_server
    taint(own_server)


def taint(node: Server, **fields: str) -> None:
    patch = {"spec": {"taints": [fields] if fields else None}}
    node.kubectl("patch", "node", pods.node_name(node), "-p", json.dumps(patch), "--type=merge")


def test_a_taint_of_the_node_takes_the_pods_that_do_not_bear_it(tainted: Server) -> None:
    def bears(**fields: object) -> pods.Manifest:
        return {"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"} | fields]}

    pods.create(
        tainted,
        pod("bears", box(FOREVER), **bears()),
        pod("bears-for-now", box(FOREVER), **bears(tolerationSeconds=2)),
        pod("bears-for-long", box(FOREVER), **bears(tolerationSeconds=600)),
        pod("bears-not", box(FOREVER)),
    )
    for name in ("bears", "bears-for-now", "bears-for-long", "bears-not"):
        tainted.wait_ready(name)
    taint(tainted, key="k", value="v", effect="NoExecute")
    tainted.kubectl("wait", "--for=delete", "pod/bears-not", "pod/bears-for-now", "--timeout=60s")
    assert tainted.pod("bears")["status"]["phase"] == "Running"
    assert ("TaintManagerEviction", "Marking for deletion Pod default/bears-not") in pods.told(tainted, "bears-not")
    pods.create(tainted, pod("late", box("true")))
    assert waits(tainted, "late") == f"1 node(s) had untolerated taint(s). {HOPELESS}"
    taint(tainted)
    tainted.wait_for("late", "{.status.phase}=Succeeded")
    pods.wait_told(tainted, "bears-for-long", "TaintManagerEviction")
    assert ("TaintManagerEviction", "Cancelling deletion of Pod default/bears-for-long") in pods.told(tainted, "bears-for-long")


def test_a_cordoned_node_takes_nothing_new(tainted: Server) -> None:
    tainted.kubectl("cordon", pods.node_name(tainted))
    pods.create(tainted, pod("kept-out", box("true")))
    assert waits(tainted, "kept-out") == f"1 node(s) were unschedulable. {HOPELESS}"
    tainted.kubectl("uncordon", pods.node_name(tainted))
    tainted.wait_for("kept-out", "{.status.phase}=Succeeded")

"""Classes that Pods name: RuntimeClass (who runs it, what that costs, where) and PriorityClass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podspace.linux import procfs
from tests.conformance.pods.test_resources import MIB, folder_of, limits, of_pod, read
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "exec sleep 7700"


def runtime_class(name: str, handler: str, **fields: object) -> pods.Manifest:
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler} | fields


def priority_class(name: str, value: int, **fields: object) -> pods.Manifest:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value} | fields


def refusal(node: Server, *objects: pods.Manifest) -> str:
    for one in objects[:-1]:
        pods.create(node, one)

    return node.run("kubectl", "create", "-f", "-", stdin=json.dumps(objects[-1]), check=False).stderr


def test_a_runtime_class_brings_its_handler_overhead_and_place(tuned: Server) -> None:
    scheduling = {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"key": "sandboxed", "operator": "Exists"}]}
    pods.create(
        tuned,
        runtime_class("with-runc", "other", overhead={"podFixed": {"cpu": "250m", "memory": "8Mi"}}, scheduling=scheduling),
        runtime_class("unconfigured", "nobody"),
    )
    pods.create(
        tuned,
        pod("sandboxed", box(FOREVER, **limits("100m", "32Mi")), runtimeClassName="with-runc"),
        pod("handled-by-nobody", box(FOREVER), runtimeClassName="unconfigured"),
    )
    tuned.wait_ready("sandboxed")
    found = tuned.pod("sandboxed")
    assert found["spec"]["overhead"] == {"cpu": "250m", "memory": "8Mi"}
    assert found["spec"]["nodeSelector"] == scheduling["nodeSelector"]
    assert found["spec"]["tolerations"][-1] == {"key": "sandboxed", "operator": "Exists"}
    whole = of_pod(folder_of(tuned, "sandboxed"))
    assert (read(whole, "quota"), read(whole, "memory")) == ("35000", str(40 * MIB))
    identifier = pods.container_status(tuned, "sandboxed")["containerID"].removeprefix("podspace://")
    [keeper] = [said for pid in procfs.pids() if f"--cid={identifier}" in (said := procfs.cmdline(pid))]
    assert any(Path(word).name == "runc" for word in keeper)
    pods.wait_told(tuned, "handled-by-nobody", "FailedCreatePodSandBox")
    words = 'Failed to create pod sandbox: no runtime for "nobody" is configured'
    assert any(message.startswith(words) for _, message in pods.told(tuned, "handled-by-nobody"))
    assert "with-runc" in tuned.kubectl("get", "runtimeclasses")


def test_a_runtime_class_that_is_not_there_or_not_borne_is_refused(tuned: Server) -> None:
    said = refusal(tuned, pod("p", box(FOREVER), runtimeClassName="nosuch"))
    assert 'pods "p" is forbidden: pod rejected: RuntimeClass "nosuch" not found' in said
    mine = runtime_class("mine", "other", overhead={"podFixed": {"memory": "8Mi"}}, scheduling={"nodeSelector": {"a": "b"}})
    said = refusal(tuned, mine, pod("p", box(FOREVER), runtimeClassName="mine", nodeSelector={"a": "c"}))
    assert "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c" in said
    said = refusal(tuned, pod("p", box(FOREVER), runtimeClassName="mine", overhead={"memory": "9Mi"}))
    assert "Pod's Overhead doesn't match RuntimeClass's defined Overhead" in said
    assert "handler: Invalid value" in refusal(tuned, runtime_class("bad", "No_Name"))


def test_a_priority_class_gives_its_number(tuned: Server) -> None:
    assert "system-node-critical" in tuned.kubectl("get", "priorityclasses")
    pods.create(tuned, priority_class("modest", 7, preemptionPolicy="Never"))
    pods.create(
        tuned,
        pod("modest", box("true"), priorityClassName="modest"),
        pod("critical", box("true"), priorityClassName="system-node-critical"),
        pod("anybody", box("true")),
    )
    found = {name: tuned.pod(name)["spec"] for name in ("modest", "critical", "anybody")}
    assert (found["modest"]["priority"], found["modest"]["preemptionPolicy"]) == (7, "Never")
    assert (found["critical"]["priority"], found["anybody"]["priority"]) == (2000001000, 0)
    assert "no PriorityClass with name none was found" in refusal(tuned, pod("p", box("true"), priorityClassName="none"))
    assert "value: Forbidden: maximum allowed value" in refusal(tuned, priority_class("proud", 2_000_000_000))
    assert "are reserved for system use only" in refusal(tuned, priority_class("system-mine", 1))
    pods.create(tuned, priority_class("usual", 3, globalDefault=True))
    pods.create(tuned, pod("usual", box("true")))
    assert tuned.pod("usual")["spec"]["priorityClassName"] == "usual"
    tuned.kubectl("delete", "priorityclass", "usual")

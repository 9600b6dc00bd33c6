"""Limits are the kernel's: of containers, of Pods, of the classes of Pods; and what asks for more than there is does not run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podspace.linux import cgroups, mounts
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "exec sleep 7400"
MIB = 1 << 20
V1 = {
    "shares": ("cpu", "cpu.shares"),
    "quota": ("cpu", "cpu.cfs_quota_us"),
    "memory": ("memory", "memory.limit_in_bytes"),
    "pids": ("pids", "pids.max"),
}
V2 = {"shares": "cpu.weight", "quota": "cpu.max", "memory": "memory.max", "pids": "pids.max"}


def limits(of_cpu: str = "", of_memory: str = "", **requests: str) -> pods.Manifest:
    found: pods.Manifest = {"limits": {name: value for name, value in (("cpu", of_cpu), ("memory", of_memory)) if value}}
    return {"resources": found | ({"requests": requests} if requests else {})}


def folder_of(node: Server, name: str, container: str = "c") -> str:
    """The container's cgroup below a hierarchy's root."""
    status = pods.container_status(node, name, container)
    identifier = status["containerID"].removeprefix("podspace://")
    root = cgroups.hierarchies(mounts.table()).get("memory", cgroups.ROOT)
    folders = (folder for top in root.glob("podspace*") for folder, _, _ in os.walk(top))  # other servers' may go meanwhile
    return next(str(Path(folder).relative_to(root)) for folder in folders if folder.endswith(identifier))


def read(path: str, what: str) -> str:
    """A limit, as version 1 shows it."""
    by_controller = cgroups.hierarchies(mounts.table())
    if "memory" in by_controller:
        controller, file = V1[what]
        return (by_controller[controller] / path / file).read_text().strip()
    text = (cgroups.ROOT / path / V2[what]).read_text().split()[0]
    return {"max": "-1"}.get(text, text)


def of_pod(path: str) -> str:
    return str(Path(path).parent)


def of_group(path: str) -> str:
    return str(Path(path).parents[1])


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server) -> None:
    pods.create(
        node,
        pod("res-two", box(FOREVER, **limits("200m", "32Mi", cpu="100m")), box(FOREVER, "d", **limits("300m", "64Mi", cpu="150m"))),
        pod("res-open", box(FOREVER, **limits("200m", "32Mi")), box(FOREVER, "d")),
        pod("res-whole", box(FOREVER), resources={"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}),
        pod("res-sure", box(FOREVER, **limits("100m", "32Mi"))),
        pod("res-none", box(FOREVER)),
        pod("res-child", box(f"{EATER}; echo still here", **limits("", "16Mi"))),
        pod("res-foreign", box(FOREVER, resources={"limits": {"example.com/foo": "1"}})),
        pod("res-huge", box(FOREVER, resources={"limits": {"hugepages-2Mi": "1024Gi", "memory": "16Mi"}})),
        pod("res-claims", box(FOREVER), resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}]),
        pod("res-bound", box(FOREVER, resources={"requests": {"cpu": "1000"}}), nodeName=pods.node_name(node)),
        pod("res-bound-foreign", box(FOREVER, resources={"limits": {"example.com/foo": "1"}}), nodeName=pods.node_name(node)),
    )


EATER = "head -c 64m /dev/zero | tail"


def test_a_pods_cgroup_holds_its_containers_together(node: Server) -> None:
    for name in ("res-two", "res-open"):
        node.wait_ready(name)
    both = of_pod(folder_of(node, "res-two"))
    assert (read(both, "quota"), read(both, "memory")) == ("50000", str(96 * MIB))
    part = of_pod(folder_of(node, "res-open"))  # the other container has no limit, so the Pod has none
    assert read(part, "quota") == "-1"
    assert int(read(part, "memory")) > 1 << 40
    if cgroups.hierarchies(mounts.table()):
        assert (read(both, "shares"), read(part, "shares")) == ("256", "204")


def test_resources_of_a_whole_pod_are_its_cgroups_and_of_containers_without_their_own(node: Server) -> None:
    node.wait_ready("res-whole")
    container = folder_of(node, "res-whole")
    for path in (container, of_pod(container)):
        assert (read(path, "quota"), read(path, "memory")) == ("50000", str(64 * MIB))
    assert node.pod("res-whole")["status"]["qosClass"] == "Burstable"


def test_classes_of_pods_share_the_cpu_as_a_kubelets_do(node: Server) -> None:
    for name in ("res-two", "res-whole", "res-sure", "res-none"):
        node.wait_ready(name)
    groups = {name: of_group(folder_of(node, name)) for name in ("res-two", "res-sure", "res-none")}
    assert Path(groups["res-two"]) == Path(groups["res-sure"]) / "burstable"
    assert Path(groups["res-none"]) == Path(groups["res-sure"]) / "besteffort"
    if cgroups.hierarchies(mounts.table()):
        asked = node.kubectl("get", "pods", "-o", "json")
        assert "res-two" in asked
        assert int(read(groups["res-two"], "shares")) >= 256 + 204 + 256
        assert read(groups["res-none"], "shares") == "2"


def test_memory_that_runs_out_is_told_whichever_process_it_took(node: Server) -> None:
    node.wait_for("res-child", "{.status.containerStatuses[0].state.terminated.reason}=OOMKilled")
    assert pods.container_status(node, "res-child")["state"]["terminated"]["reason"] == "OOMKilled"


@pytest.mark.parametrize(
    ("name", "words"),
    [("res-foreign", "1 Insufficient example.com/foo"), ("res-huge", "1 Insufficient hugepages-2Mi")],
)
def test_what_the_node_has_not_got_is_waited_for(node: Server, name: str, words: str) -> None:
    node.wait_for(name, "{.status.conditions[0].reason}=Unschedulable")
    message = node.pod(name)["status"]["conditions"][0]["message"]
    assert message.startswith(f"0/1 nodes are available: {words}.")
    assert ("FailedScheduling", message) in pods.told(node, name)


def test_claims_are_refused_by_name(node: Server) -> None:
    node.wait_for("res-claims", "{.status.conditions[0].reason}=Unschedulable")
    assert "spec.resourceClaims (there is no dynamic resource allocation)" in node.pod("res-claims")["status"]["conditions"][0]["message"]


def test_a_pod_bound_by_hand_fails_for_want_of_room(node: Server) -> None:
    node.wait_for("res-bound", "{.status.phase}=Failed")
    status = node.pod("res-bound")["status"]
    assert status["reason"] == "OutOfcpu"
    assert status["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: ")
    node.wait_for("res-bound-foreign", "{.status.phase}=Failed")
    assert node.pod("res-bound-foreign")["status"]["reason"] == "OutOfexample.com/foo"


def test_a_server_can_bound_the_processes_of_a_pod(tuned: Server) -> None:
    pods.create(tuned, pod("forks", box(FOREVER), box("i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); done; wait", "many")))
    tuned.wait_for("forks", "{.status.containerStatuses[1].state.terminated.exitCode}=2")
    assert "can't fork" in tuned.kubectl("logs", "forks", "-c", "many")
    assert read(of_pod(folder_of(tuned, "forks")), "pids") == "40"

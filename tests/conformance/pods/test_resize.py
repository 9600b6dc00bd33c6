"""Resizing running Pods with kubectl: the cgroups follow, containers live on or are restarted, and what there is no room for waits."""

from __future__ import annotations

import json
import re

import pytest

from tests.conformance.pods.test_resources import MIB, limits, of_pod, read
from tests.conformance.pods.test_resources import folder_of as folder
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "exec sleep 7500"
RESTART = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]


def resize(node: Server, name: str, container: str = "c", *, check: bool = True, **resources: dict[str, str]) -> str:
    patch = {"spec": {"containers": [{"name": container, "resources": resources}]}}
    done = node.run("kubectl", "patch", "pod", name, "--subresource=resize", "-p", json.dumps(patch), check=check)
    return done.stdout + done.stderr


def conditions(node: Server, name: str) -> dict[str, dict[str, str]]:
    return {c["type"]: c for c in node.pod(name)["status"]["conditions"] if c["type"].startswith("PodResize")}


def allocated(node: Server, name: str, resource: str, value: str) -> None:
    node.wait_for(name, f"{{.status.containerStatuses[0].allocatedResources.{resource}}}={value}")


def instance(node: Server, name: str) -> str:
    status = pods.container_status(node, name)
    return f"{status['containerID']} {status['state']['running']['startedAt']}"


def test_limits_of_a_running_container_change_without_a_restart(node: Server) -> None:
    pods.create(node, pod("grow", box(FOREVER, **limits("200m", "32Mi", cpu="100m")), box(FOREVER, "d", **limits("100m", "32Mi"))))
    node.wait_ready("grow")
    before = instance(node, "grow")
    path = folder(node, "grow")
    resize(node, "grow", requests={"cpu": "300m"}, limits={"cpu": "400m", "memory": "64Mi"})
    node.wait_for("grow", "{.status.containerStatuses[0].resources.limits.cpu}=400m")
    assert (read(path, "quota"), read(path, "memory")) == ("40000", str(64 * MIB))
    assert (read(of_pod(path), "quota"), read(of_pod(path), "memory")) == ("50000", str(96 * MIB))
    resize(node, "grow", requests={"cpu": "50m"}, limits={"cpu": "100m", "memory": "48Mi"})
    node.wait_for("grow", "{.status.containerStatuses[0].resources.limits.memory}=48Mi")
    assert (read(path, "quota"), read(path, "memory")) == ("10000", str(48 * MIB))
    assert (read(of_pod(path), "quota"), read(of_pod(path), "memory")) == ("20000", str(80 * MIB))
    status = pods.container_status(node, "grow")
    assert status["allocatedResources"] == {"cpu": "50m", "memory": "32Mi"}
    assert status["resources"] == {"limits": {"cpu": "100m", "memory": "48Mi"}, "requests": {"cpu": "50m", "memory": "32Mi"}}
    assert (instance(node, "grow"), status["restartCount"]) == (before, 0)
    assert conditions(node, "grow") == {}
    told = [message for reason, message in pods.told(node, "grow") if reason == "ResizeCompleted"]
    assert len(told) == 2
    summary = json.loads(told[1].removeprefix("Pod resize completed: "))
    assert summary["containers"][0]["resources"]["limits"] == {"cpu": "100m", "memory": "48Mi"}
    found = node.pod("grow")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"] == summary["generation"] == 3


def test_what_a_container_is_restarted_for_is_its_policys(node: Server) -> None:
    containers = [box(FOREVER, resizePolicy=RESTART, **limits("", "32Mi")), box(FOREVER, "d")]
    pods.create(node, pod("again", *containers, restartPolicy="Always"))
    node.wait_ready("again")
    neighbour = pods.container_status(node, "again", "d")["containerID"]
    resize(node, "again", requests={"memory": "40Mi"}, limits={"memory": "40Mi"})
    node.wait_for("again", "{.status.containerStatuses[0].restartCount}=1")
    node.wait_for("again", "{.status.containerStatuses[0].resources.limits.memory}=40Mi")
    node.wait_ready("again")
    assert read(folder(node, "again"), "memory") == str(40 * MIB)
    assert pods.container_status(node, "again", "d")["containerID"] == neighbour
    assert ("Killing", "Container c resize requires restart") in pods.told(node, "again")
    assert conditions(node, "again") == {}


def test_a_request_alone_can_be_what_a_container_is_restarted_for(node: Server) -> None:
    containers = [box(FOREVER, resizePolicy=RESTART, **limits("", "64Mi", memory="32Mi")), box(FOREVER, "d")]
    pods.create(node, pod("asking", *containers, restartPolicy="Always"))
    node.wait_ready("asking")
    resize(node, "asking", requests={"memory": "40Mi"})
    node.wait_for("asking", "{.status.containerStatuses[0].restartCount}=1")
    node.wait_for("asking", "{.status.containerStatuses[0].resources.requests.memory}=40Mi")
    resize(node, "asking", requests={"memory": "48Mi"})
    node.wait_for("asking", "{.status.containerStatuses[0].restartCount}=2")
    node.wait_for("asking", "{.status.containerStatuses[0].resources.requests.memory}=48Mi")
    node.wait_ready("asking")
    assert pods.container_status(node, "asking")["restartCount"] == 2
    assert conditions(node, "asking") == {}


def test_what_the_machine_could_never_give_is_refused(node: Server) -> None:
    pods.create(node, pod("vain", box(FOREVER, **limits("", "", cpu="50m"))))
    node.wait_ready("vain")
    said = resize(node, "vain", check=False, requests={"cpu": "1000", "memory": "1Pi"})
    words = r"cpu, requested: 1000000, allocatable: \d+; memory, requested: \d+, allocatable: \d+"
    assert re.search(rf"pods \"vain\" is forbidden: node didn't have enough allocatable resources: {words}", said), said
    assert pods.container_status(node, "vain")["resources"] == {"requests": {"cpu": "50m"}}
    assert conditions(node, "vain") == {}
    resize(node, "vain", requests={"cpu": "60m"})
    allocated(node, "vain", "cpu", "60m")


def test_what_others_have_is_waited_for(own_server: Server) -> None:
    whole = own_server.kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.allocatable.cpu}")
    most = f"{int(whole) * 1000 - 200}m"
    pods.create(own_server, pod("big", box(FOREVER, resources={"requests": {"cpu": most}})))
    mortal = "trap 'exit 1' TERM; while :; do sleep 0.05; done"
    pods.create(own_server, pod("small", box(mortal, resources={"requests": {"cpu": "100m"}}), restartPolicy="Always"))
    for name in ("big", "small"):
        own_server.wait_ready(name)
    resize(own_server, "small", requests={"cpu": "500m"})
    own_server.wait_for("small", '{.status.conditions[?(@.type=="PodResizePending")].reason}=Deferred')
    words = conditions(own_server, "small")["PodResizePending"]["message"]
    assert words == f"Node didn't have enough resource: cpu, requested: 500, used: {most[:-1]}, capacity: {int(whole) * 1000}"
    own_server.kill()
    own_server.start()
    own_server.wait_for("small", '{.status.conditions[?(@.type=="PodResizePending")].reason}=Deferred')
    own_server.exec("small", "c", "kill", "1", check=False)
    own_server.wait_for("small", "{.status.containerStatuses[0].restartCount}=1")
    own_server.wait_ready("small")
    assert pods.container_status(own_server, "small")["resources"] == {"requests": {"cpu": "100m"}}  # it came back with what it had
    assert own_server.pod("small")["status"]["resources"] == {"requests": {"cpu": "100m"}}
    own_server.kubectl("delete", "pod", "big")
    allocated(own_server, "small", "cpu", "500m")
    assert conditions(own_server, "small") == {}
    assert pods.container_status(own_server, "small")["restartCount"] == 1


def test_memory_that_is_in_use_is_not_taken_away(node: Server) -> None:
    script = "x=$(head -c 12m /dev/zero | tr '\\0' x); touch /full; sleep 7501; echo $x"
    pods.create(node, pod("full", box(script, **limits("", "64Mi"))))
    node.wait_ready("full")
    before = pods.container_status(node, "full")["containerID"]
    node.exec("full", "c", "sh", "-c", "until [ -e /full ]; do sleep 0.05; done")
    resize(node, "full", limits={"memory": "8Mi"}, requests={"memory": "8Mi"})
    node.wait_for("full", '{.status.conditions[?(@.type=="PodResizeInProgress")].reason}=Error')
    words = conditions(node, "full")["PodResizeInProgress"]["message"]
    assert words.startswith(f'attempting to set container "c" memory limit ({8 * MIB}) below current usage (')
    assert pods.container_status(node, "full")["resources"]["limits"] == {"memory": "64Mi"}
    resize(node, "full", limits={"memory": "128Mi"}, requests={"memory": "128Mi"})
    node.wait_for("full", "{.status.containerStatuses[0].resources.limits.memory}=128Mi")
    assert pods.container_status(node, "full")["containerID"] == before


def test_the_api_refuses_what_is_no_resize(node: Server) -> None:
    pods.create(node, pod("fixed", box(FOREVER, **limits("100m", "32Mi", cpu="50m"))))
    node.wait_ready("fixed")
    assert "Pod QOS Class may not change as a result of resizing" in resize(
        node, "fixed", check=False, requests={"cpu": "100m", "memory": "32Mi"}
    )
    assert "must be less than or equal to cpu limit of 100m" in resize(node, "fixed", check=False, requests={"cpu": "200m"})
    done = node.run(
        "kubectl",
        "patch",
        "pod",
        "fixed",
        "-p",
        '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"60m"}}}]}}',
        check=False,
    )
    assert "pod updates may not change fields other than" in done.stderr


def test_a_pod_with_resources_as_a_whole_is_resized_as_a_whole(node: Server) -> None:
    restarted = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    containers = [box(FOREVER), box(FOREVER, "d", resizePolicy=restarted)]
    sure = {"cpu": "200m", "memory": "64Mi"}
    pods.create(node, pod("whole", *containers, resources={"limits": sure, "requests": sure}, restartPolicy="Always"))
    node.wait_ready("whole")
    before = instance(node, "whole")
    more = {"resources": {"limits": {"cpu": "300m"}, "requests": {"cpu": "300m"}}}
    node.kubectl("patch", "pod", "whole", "--subresource=resize", "-p", json.dumps({"spec": more}))
    node.wait_for("whole", "{.status.containerStatuses[1].restartCount}=1")
    node.wait_for("whole", "{.status.resources.limits.cpu}=300m")
    node.wait_ready("whole")
    assert node.pod("whole")["status"]["allocatedResources"] == {"cpu": "300m", "memory": "64Mi"}
    path = folder(node, "whole")
    assert (read(path, "quota"), read(of_pod(path), "quota")) == ("30000", "30000")
    assert instance(node, "whole") == before
    assert conditions(node, "whole") == {}


def test_a_sidecar_is_resized_like_any_other(node: Server) -> None:
    sidecar = box(FOREVER, "side", restartPolicy="Always", **limits("", "32Mi"))
    pods.create(node, pod("with-side", box(FOREVER), initContainers=[sidecar]))
    node.wait_ready("with-side")
    patch = {"spec": {"initContainers": [{"name": "side", "resources": {"limits": {"memory": "48Mi"}}}]}}
    node.kubectl("patch", "pod", "with-side", "--subresource=resize", "-p", json.dumps(patch))
    node.wait_for("with-side", "{.status.initContainerStatuses[0].resources.limits.memory}=48Mi")
    assert read(folder(node, "with-side", "side"), "memory") == str(48 * MIB)

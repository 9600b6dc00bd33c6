"""Pods that take more of the disk than they may: evicted, in the kubelet's words, and nothing of them runs on."""

from __future__ import annotations

import pytest

from tests.conformance.pods.test_environment import mounts, volumes
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

LIMITED = {"limits": {"ephemeral-storage": "4Mi"}}
ROOMY = {"limits": {"ephemeral-storage": "900Mi"}}
FILL = "dd if=/dev/zero of={} bs=1M count={} 2>/dev/null; exec sleep 7500"


def test_who_takes_too_much_of_the_disk_is_evicted(node: Server) -> None:
    greedy = {
        "greedy-volume": (
            pod(
                "greedy-volume",
                box(FILL.format("/v/file", 4), volumeMounts=mounts(v="/v")),
                box("exec sleep 7501", "other"),
                volumes=volumes(v={"emptyDir": {"sizeLimit": "2Mi"}}),
                restartPolicy="Always",
                terminationGracePeriodSeconds=3600,
            ),
            'Usage of EmptyDir volume "v" exceeds the limit "2Mi". ',
        ),
        "greedy-root": (
            pod("greedy-root", box(FILL.format("/file", 8), resources=LIMITED), box("exec sleep 7502", "other", resources=ROOMY)),
            'Container c exceeded its local ephemeral storage limit "4Mi". ',
        ),
        "greedy-log": (
            pod("greedy-log", box("dd if=/dev/zero bs=1M count=3 | base64; exec sleep 7503", resources=LIMITED)),
            "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
        ),
    }
    modest = pod(
        "modest",
        box(FILL.format("/v/file", 1), volumeMounts=mounts(v="/v"), resources=LIMITED),
        volumes=volumes(v={"emptyDir": {"sizeLimit": "2Mi"}}),
    )
    pods.create(node, modest, *(manifest for manifest, _ in greedy.values()))
    for name, (_, message) in greedy.items():
        node.wait_for(name, "{.status.phase}=Failed", seconds=150)  # the longer a look takes, the longer until the next
        status = node.pod(name)["status"]
        assert (status["reason"], status["message"]) == ("Evicted", message)
        assert all("terminated" in container["state"] for container in status["containerStatuses"])
        assert ("Evicted", message) in pods.told(node, name)
    assert node.pod("modest")["status"]["phase"] == "Running"
    node.kubectl("delete", "pods", "modest", *greedy)


def test_an_eviction_is_not_forgotten_by_a_crash(own_server: Server) -> None:
    greedy = box("sleep 2; " + FILL.format("/v/file", 4), volumeMounts=mounts(v="/v"))
    pods.create(own_server, pod("greedy", greedy, volumes=volumes(v={"emptyDir": {"sizeLimit": "2Mi"}})))
    own_server.wait_ready("greedy")
    own_server.kill()
    own_server.start()
    own_server.wait_for("greedy", "{.status.reason}=Evicted", seconds=150)
    own_server.kill()
    own_server.start()
    assert own_server.pod("greedy")["status"]["phase"] == "Failed"

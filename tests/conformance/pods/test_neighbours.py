"""Pods beside each other and containers that come later."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

SERVE = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"


def add_ephemeral(node: Server, pod_name: str, **container: object) -> None:
    patch = {"spec": {"ephemeralContainers": [{"image": pods.IMAGE, **container}]}}
    node.kubectl("patch", "pod", pod_name, "--subresource=ephemeralcontainers", "-p", json.dumps(patch))


def test_a_pods_address_is_reachable_from_the_host_and_from_another_pod(node: Server) -> None:
    pods.create(node, pod("web", box(SERVE)))
    node.wait_ready("web")
    ip = node.pod("web")["status"]["podIP"]
    fetch = f"until wget -q -O - http://{ip}:8080/; do sleep 0.05; done"
    pods.create(node, pod("client", box(fetch)))
    assert pods.output(node, "client") == ["web"]
    with urllib.request.urlopen(f"http://{ip}:8080/", timeout=5) as answer:
        assert answer.read() == b"web\n"


def test_an_ephemeral_container_joins_its_target(node: Server) -> None:
    pods.create(node, pod("looked-at", box("exec sleep 7300")))
    node.wait_ready("looked-at")
    add_ephemeral(node, "looked-at", name="look", targetContainerName="c", command=["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"])
    node.wait_for("looked-at", "{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=0")
    assert node.kubectl("logs", "looked-at", "-c", "look").strip() == "sleep 7300"
    assert pods.container_status(node, "looked-at")["restartCount"] == 0
    assert node.pod("looked-at")["status"]["phase"] == "Running"


def test_an_ephemeral_container_that_asks_for_what_is_not_done_is_told_so(node: Server) -> None:
    pods.create(node, pod("odd", box("exec sleep 7301")))
    node.wait_ready("odd")
    add_ephemeral(node, "odd", name="look", command=["true"], securityContext={"seLinuxOptions": {"level": "s0:c1,c2"}})
    node.wait_for("odd", "{.status.ephemeralContainerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    message = pods.container_status(node, "odd", "look")["state"]["waiting"]["message"]
    assert message == "podspace does not honour securityContext.seLinuxOptions.level (podspace labels nothing for SELinux)"

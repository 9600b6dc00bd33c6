"""``kubectl debug`` in all its forms, and ``kubectl run -it --rm``, at a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.pods import container_status, node_name
from tests.support.server import Server
from tools.terminal import Terminal

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def target(podspace: Server) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    podspace.apply(pods.pod("ta", pods.container("c", "sh", "-c", "sleep 3600 & exec sleep 3601", livenessProbe=probe)))
    podspace.wait_ready("ta")


def _debugged(podspace: Server, name: str, *argv: str, script: str) -> str:
    """What an ephemeral container says that is started so."""
    podspace.kubectl("debug", "ta", "--image=busybox:1.28", "-c", name, *argv, "--", "sh", "-c", script)
    podspace.wait_for("ta", f"{{.status.ephemeralContainerStatuses[?(@.name=='{name}')].state.terminated.exitCode}}=0")
    return podspace.kubectl("logs", "ta", "-c", name)


@pytest.mark.parametrize(
    ("profile", "wanted"),
    [
        ("legacy", None),
        ("baseline", None),
        ("general", {"capabilities": {"add": ["SYS_PTRACE"]}}),
        ("netadmin", {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}),
        ("sysadmin", {"privileged": True}),
    ],
)
def test_each_profile_gives_what_it_says(podspace: Server, profile: str, wanted: Any) -> None:
    said = _debugged(podspace, f"by-{profile}", "--target=c", f"--profile={profile}", script="ps -o args; grep CapEff /proc/self/status")
    assert "sleep 3601" in said  # the target's processes are seen
    spec = next(one for one in podspace.pod("ta")["spec"]["ephemeralContainers"] if one["name"] == f"by-{profile}")
    assert spec.get("securityContext") == wanted
    assert spec["targetContainerName"] == "c"
    effective = int(re.findall(r"CapEff:\s*(\w+)", said)[0], 16)
    ptrace, net_admin, sys_admin = (bool(effective >> bit & 1) for bit in (19, 12, 21))
    assert (ptrace, net_admin, sys_admin) == {
        "general": (True, False, False),
        "netadmin": (False, True, False),
        "sysadmin": (True, True, True),
    }.get(profile, (False, False, False))


def test_the_restricted_profile_refuses_root(podspace: Server) -> None:
    podspace.kubectl("debug", "ta", "--image=busybox:1.28", "-c", "strict", "--profile=restricted", "--", "true")
    podspace.wait_for("ta", "{.status.ephemeralContainerStatuses[?(@.name=='strict')].state.waiting.reason}=CreateContainerConfigError")
    said = container_status(podspace, "ta", "strict")["state"]["waiting"]["message"]
    assert "container has runAsNonRoot and image will run as root" in said


def test_a_copy_with_another_command_image_and_shared_processes(podspace: Server) -> None:
    podspace.kubectl(
        *("debug", "ta", "--copy-to=shared", "--share-processes", "--image=busybox:1.28", "-c", "look", "--profile=general"),
        *("--", "sleep", "100"),
    )
    podspace.wait_ready("shared")
    copied = podspace.pod("shared")
    assert copied["spec"]["shareProcessNamespace"] is True
    assert "livenessProbe" not in copied["spec"]["containers"][0]
    assert "app" not in copied["metadata"].get("labels", {})
    assert {"/pause", "sleep 3601", "sleep 100"} <= {
        line.strip() for line in podspace.exec("shared", "look", "ps", "-o", "args").splitlines()
    }
    podspace.kubectl("debug", "ta", "--copy-to=other", "--set-image=*=busybox", "-c", "c", "--profile=general", "--", "sleep", "7")
    podspace.wait_ready("other")
    assert podspace.pod("other")["spec"]["containers"][0]["image"] == "busybox"
    podspace.kubectl("delete", "pod", "shared", "other", "--now")


def test_a_copy_that_replaces_the_original(podspace: Server) -> None:
    podspace.apply(pods.pod("old"))
    podspace.wait_ready("old")
    podspace.kubectl(
        "debug", "old", "--copy-to=new", "--replace", "--image=busybox:1.28", "-c", "look", "--same-node", "--", "sleep", "100"
    )
    podspace.wait_ready("new")
    podspace.kubectl("wait", "--for=delete", "pod/old", "--timeout=60s")
    podspace.kubectl("delete", "pod", "new", "--now")


def test_the_node_by_a_pod(kubectl: Kubectl, podspace: Server) -> None:
    node = node_name(podspace)
    said = kubectl(
        "debug", f"node/{node}", "--image=busybox:1.28", "--", "sh", "-c", "test -d /host/proc/1 && hostname && echo $(ls /host | wc -l)"
    )
    (pod,) = re.findall(rf"Creating debugging pod (node-debugger-{node}-\w+) ", said)
    podspace.wait_for(pod, "{.status.phase}=Succeeded")
    hostname, entries = kubectl("logs", pod).split()
    assert (hostname, int(entries) > 5) == (node, True)
    spec = json.loads(kubectl("get", "pod", pod, "-o", "json"))["spec"]
    assert (spec["hostPID"], spec["hostNetwork"], spec["hostIPC"], spec["nodeName"]) == (True, True, True, node)
    kubectl("delete", "pod", pod, "--now")


def test_a_pod_for_a_moment_at_a_terminal(kubectl: Kubectl) -> None:
    argv = [kubectl.program, "run", "moment", "-it", "--rm", "--image=busybox:1.28", "--restart=Never", "--", "sh"]
    with Terminal(argv, environment=kubectl.environment) as terminal:
        terminal.read_until(r"# $")
        terminal.type("test -t 0 && echo at a $((40 + 2)) terminal\r")
        terminal.read_until(r"at a 42 terminal")
        terminal.type("exit 5\r")
        assert terminal.wait_exit() == 5
    assert kubectl("get", "pod", "moment", "--ignore-not-found") == ""

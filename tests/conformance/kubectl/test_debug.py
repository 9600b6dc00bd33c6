"""``kubectl debug`` with each of its profiles: beside a container, in a copy of its Pod, and on the node."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

PROFILES = ("legacy", "general", "baseline", "restricted", "netadmin", "sysadmin")
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
NET_ADMIN, SYS_PTRACE, SYS_ADMIN = 1 << 12, 1 << 19, 1 << 21
GAINED = {"general": SYS_PTRACE, "netadmin": NET_ADMIN, "sysadmin": SYS_ADMIN | NET_ADMIN | SYS_PTRACE}  # over an ordinary container
ON_THE_HOST = {"legacy", "general", "netadmin", "sysadmin"}  # whose node debugger has the host's namespaces
SEES_FILES = {"legacy", "general", "sysadmin"}  # of the host
NOT_AS_ROOT = "container has runAsNonRoot and image will run as root"


@pytest.fixture(scope="module", autouse=True)
def patient(podspace: Server) -> None:
    pods.create(podspace, pod("patient", box(FOREVER, "main"), restartPolicy="Always"))
    podspace.wait_ready("patient")


def debug(podspace: Server, target: str, profile: str, *words: str) -> str:
    return podspace.kubectl("debug", target, "--image=busybox:1.28", f"--profile={profile}", *words)


def refused_as_root(podspace: Server, name: str, kind: str, container: str) -> None:
    """busybox runs as root, which the restricted profile does not allow: a kubelet says the same."""
    path = f"{{.status.{kind}[?(@.name=='{container}')].state.waiting"
    podspace.wait_for(name, f"{path}.reason}}=CreateContainerConfigError")
    assert NOT_AS_ROOT in podspace.kubectl("get", "pod", name, "-o", f"jsonpath={path}.message}}")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_container_beside_another(podspace: Server, profile: str) -> None:
    name = f"debugger-{profile}"
    debug(podspace, "patient", profile, "--target=main", "-c", name, "--", "sh", "-c", "grep CapEff /proc/self/status; ps | grep -c sleep")
    if profile == "restricted":
        refused_as_root(podspace, "patient", "ephemeralContainerStatuses", name)
        return
    podspace.wait_for("patient", f"{{.status.ephemeralContainerStatuses[?(@.name=='{name}')].state.terminated.reason}}=Completed")
    capabilities, neighbours = podspace.kubectl("logs", "patient", "-c", name).splitlines()
    gained = GAINED.get(profile, 0)
    assert int(capabilities.split()[1], 16) & (NET_ADMIN | SYS_PTRACE | SYS_ADMIN) == gained
    assert int(neighbours) >= 1, "the target's processes are to be seen"
    status: dict[str, Any] = pods.container_status(podspace, "patient", name)
    assert (status["ready"], status["restartCount"], status["lastState"]) == (False, 0, {})


@pytest.mark.parametrize("profile", PROFILES)
def test_a_copy_of_a_pod(podspace: Server, profile: str) -> None:
    name = f"copy-{profile}"
    debug(podspace, "patient", profile, f"--copy-to={name}", "--share-processes", "-c", "debugger", "--", "sleep", "100")
    if profile == "restricted":
        refused_as_root(podspace, name, "containerStatuses", "debugger")
    else:
        podspace.wait_ready(name)
        assert "while :; do sleep 0.05; done" in podspace.exec(name, "debugger", "ps")
    podspace.kubectl("delete", "pod", name, "--now")


def test_a_copy_with_another_image_and_command(podspace: Server) -> None:
    podspace.kubectl("debug", "patient", "--copy-to=other", "--set-image=main=busybox:latest", "--container=main", "--", "sleep", "100")
    podspace.wait_ready("other")
    assert pods.container_status(podspace, "other", "main")["image"] == "docker.io/library/busybox:latest"
    assert "sleep 100" in podspace.exec("other", "main", "ps")  # its process 1 or not: kubectl 1.36 lets a copy share its process namespace
    podspace.kubectl("delete", "pod", "other", "--now")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_debugger_on_the_node(podspace: Server, profile: str) -> None:
    said = debug(podspace, f"node/{pods.node_name(podspace)}", profile, "--", "sleep", "100")
    found = re.search(r"Creating debugging pod (\S+) ", said)
    assert found is not None
    if profile == "restricted":
        refused_as_root(podspace, found[1], "containerStatuses", "debugger")
    else:
        podspace.wait_ready(found[1])
        if profile in SEES_FILES:
            assert "etc" in podspace.exec(found[1], "debugger", "ls", "/host").split()
        spec = podspace.pod(found[1])["spec"]
        assert (bool(spec.get("hostPID")), bool(spec.get("hostNetwork"))) == (profile in ON_THE_HOST,) * 2
    podspace.kubectl("delete", "pod", found[1], "--now")

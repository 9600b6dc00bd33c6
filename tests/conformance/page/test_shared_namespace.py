"""What the Kubernetes page "Share Process Namespace between Containers in a Pod" says, sentence by sentence, with real kubectl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import pods
from tests.support.server import Server
from tools.terminal import Terminal

pytestmark = pytest.mark.root

PROMPT = r"\n?/ # $"


def page_pod(name: str = "nginx", **spec: Any) -> dict[str, Any]:
    shell = {
        "name": "shell",
        "image": "busybox:1.28",
        "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}},
        "stdin": True,
        "tty": True,
    }
    containers = [{"name": "nginx", "image": "nginx"}, shell]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 1, "containers": containers} | spec,
    }


def processes(listing: str) -> dict[int, tuple[str, str]]:
    """PID -> (user, command) of ``ps ax``."""
    rows = re.findall(r"^\s*(\d+)\s+(\S+)\s+(?:\d+:\d\d\s+)?(?:\{\S+\} )?(.*?)\s*$", listing, re.MULTILINE)
    return {int(pid): (user, command) for pid, user, command in rows}


def pids_of(listing: str, command: str) -> set[int]:
    return {pid for pid, (_, shown) in processes(listing).items() if shown.startswith(command)}


def wait_for_workers(podspace: Server, name: str, container: str) -> None:
    """They bear their master's title until they have one of their own."""
    podspace.exec(name, container, "sh", "-c", "until ps ax | grep -q 'nginx: [w]orker'; do sleep 0.1; done")
    pods.eventually(lambda: len(pids_of(podspace.exec(name, container, "ps", "ax"), "nginx: master")), lambda masters: masters == 1)


@pytest.fixture(scope="module")
def nginx(podspace: Server) -> Iterator[Server]:
    podspace.apply(page_pod())
    podspace.wait_ready("nginx")
    wait_for_workers(podspace, "nginx", "shell")
    yield podspace
    podspace.kubectl("delete", "pod", "nginx", "--grace-period=1")


def test_pause_is_pid_one_and_every_process_of_the_pod_is_seen(nginx: Server) -> None:
    listing = nginx.exec("nginx", "shell", "ps", "ax")
    found = processes(listing)
    assert found[1] == ("root", "/pause")
    assert len(pids_of(listing, "nginx: master process nginx -g daemon off;")) == 1
    assert {found[pid][0] for pid in pids_of(listing, "nginx: worker process")} == {"101"}
    assert pids_of(listing, "sh")


def test_the_example_of_the_page_works_in_an_attached_terminal(nginx: Server) -> None:
    with Terminal(["kubectl", "attach", "-it", "nginx", "-c", "shell"], environment=nginx.environment) as terminal:
        terminal.type("\r")
        terminal.read_until(PROMPT)

        def enter(line: str) -> str:
            terminal.type(line + "\r")
            terminal.read_until(re.escape(line) + r"\n")
            return terminal.read_until(PROMPT)

        before = enter("ps ax")
        (master,) = pids_of(before, "nginx: master")
        workers = pids_of(before, "nginx: worker")
        enter(f"kill -HUP {master}")

        def renewed(after: str) -> bool:
            return bool(pids_of(after, "nginx: worker")) and not pids_of(after, "nginx: worker") & workers

        after = pods.eventually(lambda: enter("sleep 1; ps ax"), renewed)
        assert pids_of(after, "nginx: master") == {master}
        assert "user  nginx;" in enter(f"head /proc/{master}/root/etc/nginx/nginx.conf")


def test_the_same_with_podspace_in_place_of_kubectl(nginx: Server) -> None:
    assert processes(nginx.podspace("exec", "nginx", "-c", "shell", "--", "ps", "ax"))[1] == ("root", "/pause")
    assert "nginx" in nginx.podspace("get", "pods", "-o", "wide")


def test_kill_hup_one_reaches_pause_and_the_pod_lives_on(nginx: Server) -> None:
    before = nginx.pod("nginx")["status"]["containerStatuses"]
    nginx.exec("nginx", "shell", "kill", "-HUP", "1")
    assert processes(nginx.exec("nginx", "shell", "ps", "ax"))[1][1] == "/pause"
    assert [s["containerID"] for s in nginx.pod("nginx")["status"]["containerStatuses"]] == [s["containerID"] for s in before]


def test_orphans_are_reaped_by_pause(nginx: Server) -> None:
    nginx.exec("nginx", "nginx", "sh", "-c", "(sleep 0.1 &) ; (sh -c 'sleep 0.1 & sleep 0.1 &' &)")
    states = nginx.exec("nginx", "shell", "sh", "-c", "sleep 1; cat /proc/[0-9]*/stat 2>/dev/null")
    assert not re.findall(r"\) Z ", states)


def test_logs_of_one_container_are_its_own(nginx: Server) -> None:
    address = nginx.pod("nginx")["status"]["podIP"]
    nginx.run("python3", "-c", f"import urllib.request; urllib.request.urlopen('http://{address}/', timeout=5).read()")
    pods.eventually(lambda: nginx.kubectl("logs", "nginx", "-c", "nginx"), lambda log: "GET /" in log)  # it answers, and then writes
    assert "GET /" not in nginx.kubectl("logs", "nginx", "-c", "shell")


NEIGHBOURS = {
    "shareProcessNamespace": True,
    "terminationGracePeriodSeconds": 1,
    "containers": [
        {"name": "secretive", "image": "busybox:1.28", "command": ["sleep", "3600"], "env": [{"name": "TOKEN", "value": "s3cret"}]},
        {"name": "root", "image": "busybox:1.28", "command": ["sleep", "7200"]},
        {"name": "other", "image": "busybox:1.28", "command": ["sleep", "7300"], "securityContext": {"runAsUser": 1234}},
        {
            "name": "fewer",
            "image": "busybox:1.28",
            "command": ["sleep", "7400"],
            "securityContext": {"capabilities": {"drop": ["ALL"]}},
        },
    ],
}


@pytest.fixture(scope="module")
def neighbours(podspace: Server) -> Iterator[tuple[Server, int]]:
    """A Pod of containers with different rights, and the PID of the one with a secret in its environment."""
    podspace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rights"}, "spec": NEIGHBOURS})
    podspace.wait_ready("rights")
    (pid,) = pods.eventually(lambda: pids_of(podspace.exec("rights", "root", "ps", "ax"), "sleep 3600"), lambda pids: len(pids) == 1)
    yield podspace, pid
    podspace.kubectl("delete", "pod", "rights", "--grace-period=1")


def test_root_of_a_neighbour_reads_the_environment(neighbours: tuple[Server, int]) -> None:
    podspace, pid = neighbours
    assert "TOKEN=s3cret" in podspace.exec("rights", "root", "cat", f"/proc/{pid}/environ")
    assert podspace.exec("rights", "root", "cat", f"/proc/{pid}/cmdline") == "sleep\x003600\x00"


@pytest.mark.parametrize("container", ["other", "fewer"])
def test_another_uid_or_one_with_fewer_capabilities_is_denied(neighbours: tuple[Server, int], container: str) -> None:
    podspace, pid = neighbours
    for path in (f"/proc/{pid}/environ", f"/proc/{pid}/root/etc/passwd"):
        done = podspace.run("kubectl", "exec", "rights", "-c", container, "--", "cat", path, check=False)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
        assert "s3cret" not in done.stdout


def test_files_of_a_neighbour_are_reached_through_proc_root(neighbours: tuple[Server, int]) -> None:
    podspace, pid = neighbours
    podspace.exec("rights", "secretive", "sh", "-c", "echo hello > /tmp/mine")
    assert podspace.exec("rights", "root", "cat", f"/proc/{pid}/root/tmp/mine") == "hello\n"


def test_without_sharing_nothing_of_a_neighbour_is_visible(podspace: Server) -> None:
    podspace.apply(page_pod("alone", shareProcessNamespace=False))
    podspace.wait_ready("alone")
    wait_for_workers(podspace, "alone", "nginx")
    listing = podspace.exec("alone", "shell", "ps", "ax")
    assert not pids_of(listing, "nginx")
    assert processes(listing)[1][1] == "sh"
    assert processes(podspace.exec("alone", "nginx", "ps", "ax"))[1][1].startswith("nginx: master")
    podspace.kubectl("delete", "pod", "alone", "--grace-period=1")


def test_an_image_that_must_be_pid_one_says_so_in_status_and_events_and_runs_without_sharing(podspace: Server) -> None:
    containers = [{"name": "s6", "image": "podspace-test/pid1-required"}]
    for name, shared in (("s6-shared", True), ("s6-alone", False)):
        spec = {"shareProcessNamespace": shared, "terminationGracePeriodSeconds": 1, "containers": containers}
        podspace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    podspace.wait_ready("s6-alone")
    podspace.wait_for("s6-shared", "{.status.containerStatuses[0].lastState.terminated.exitCode}=100")
    words = "can only run as pid 1"
    assert words in podspace.pod("s6-shared")["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"]
    assert words in podspace.kubectl("describe", "pod", "s6-shared").partition("Events:")[2]
    podspace.kubectl("delete", "pod", "s6-shared", "s6-alone", "--grace-period=1")


def test_sharing_and_host_pid_at_once_are_refused(podspace: Server) -> None:
    spec = {"shareProcessNamespace": True, "hostPID": True, "containers": [{"name": "a", "image": "busybox:1.28"}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "both"}, "spec": spec}
    done = podspace.run("kubectl", "apply", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert done.returncode == 1
    assert "spec.securityContext.shareProcessNamespace" in done.stderr
    assert "ShareProcessNamespace and HostPID cannot both be enabled" in done.stderr

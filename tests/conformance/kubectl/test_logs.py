"""``kubectl logs`` with every flag it has."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.server import Server

pytestmark = pytest.mark.root
TEN = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done"


@pytest.fixture(scope="module", autouse=True)
def talkers(podspace: Server) -> None:
    """Two Pods of one label: each says ten lines and then nothing; one has an init container and one that has crashed before."""
    quiet = f"{TEN}; sleep 3600"
    crashing = "if [ -e /v/once ]; then echo second; sleep 3600; fi; touch /v/once; echo first; exit 1"
    once = pods.container("once", "sh", "-c", crashing, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    before = pods.container("before", "sh", "-c", "echo prepared")
    both = {"talks": "yes"}
    full = pods.pod(
        "full", pods.container("c", "sh", "-c", quiet), once, labels=both, initContainers=[before], volumes=[{"name": "v", "emptyDir": {}}]
    )
    items = [full, pods.pod("plain", pods.container("c", "sh", "-c", quiet), labels=both)]
    podspace.apply({"apiVersion": "v1", "kind": "List", "items": items})
    podspace.wait_ready("plain")
    podspace.wait_for("full", "{.status.containerStatuses[1].restartCount}=1")
    podspace.wait_ready("full")


def lines(*numbers: int) -> str:
    return "".join(f"line {number}\n" for number in numbers)


def test_a_container_by_name_or_by_default(kubectl: Kubectl) -> None:
    assert kubectl("logs", "plain") == lines(*range(1, 11))
    assert kubectl("logs", "full", "-c", "before") == "prepared\n"
    assert kubectl("logs", "full", "before") == "prepared\n"
    assert "line 10" in kubectl("logs", "pod/full", "-c", "c")
    assert "container zz is not valid for pod full" in kubectl("logs", "full", "-c", "zz", status=1)


def test_the_instance_before(kubectl: Kubectl) -> None:
    assert kubectl("logs", "full", "-c", "once") == "second\n"
    assert kubectl("logs", "full", "-c", "once", "-p") == "first\n"
    assert 'previous terminated container "c" in pod "full" not found' in kubectl("logs", "full", "-c", "c", "--previous", status=1)


def test_a_part_from_the_end_the_beginning_or_by_time(kubectl: Kubectl) -> None:
    assert kubectl("logs", "plain", "--tail=2") == lines(9, 10)
    assert kubectl("logs", "plain", "--tail=0") == ""
    assert kubectl("logs", "plain", "--limit-bytes=10") == "line 1\nlin"
    assert kubectl("logs", "plain", "--since=1h") == lines(*range(1, 11))
    assert kubectl("logs", "plain", "--since-time=2000-01-01T00:00:00Z", "--tail=1") == lines(10)
    assert kubectl("logs", "plain", "--since-time=2100-01-01T00:00:00Z") == ""
    assert "at most one of" in kubectl("logs", "plain", "--since=1h", "--since-time=2000-01-01T00:00:00Z", status=1)


def test_timestamps_are_those_of_the_lines(kubectl: Kubectl) -> None:
    stamped = kubectl("logs", "plain", "--timestamps").splitlines()
    assert len(stamped) == 10
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line \d+", line) for line in stamped)
    moment = stamped[5].split()[0]
    later = kubectl("logs", "plain", "--timestamps", f"--since-time={moment}").splitlines()
    assert later[-1] == stamped[-1]
    assert all(line.split()[0] >= moment[:19] for line in later)


def test_all_containers_and_all_pods_with_their_names(kubectl: Kubectl) -> None:
    told = kubectl("logs", "full", "--all-containers", "--prefix", "--tail=1").splitlines()
    assert set(told) == {"[pod/full/before] prepared", "[pod/full/c] line 10", "[pod/full/once] second"}
    selected = kubectl("logs", "-l", "talks=yes", "-c", "c", "--prefix", "--tail=1").splitlines()
    assert set(selected) == {"[pod/full/c] line 10", "[pod/plain/c] line 10"}
    refused = kubectl("logs", "-l", "talks=yes", "--all-containers", "-f", "--max-log-requests=2", status=1)
    assert "maximum allowed concurrency is 2" in refused


def test_following_ends_with_the_container(kubectl: Kubectl, podspace: Server) -> None:
    container = pods.container("c", "sh", "-c", "echo begins; while [ ! -e /end ]; do sleep 0.1; done; echo ends")
    podspace.apply(pods.pod("follow", container, restartPolicy="Never"))
    podspace.wait_ready("follow")
    following = kubectl.start("logs", "-f", "follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "begins\n"
    kubectl.run("exec", "follow", "--", "touch", "/end")  # it may end with the container that it lets end
    assert following.communicate(timeout=30)[0] == "ends\n"
    assert following.returncode == 0
    kubectl("delete", "pod", "follow", "--now")


def test_following_several_pods_at_once(kubectl: Kubectl) -> None:
    following = kubectl.start("logs", "-f", "-l", "talks=yes", "-c", "c", "--prefix", "--tail=1", "--max-log-requests=5")
    assert following.stdout is not None
    try:
        told = {following.stdout.readline() for _ in range(2)}
        assert told == {"[pod/full/c] line 10\n", "[pod/plain/c] line 10\n"}
    finally:
        following.kill()
        following.communicate()


def test_a_container_that_waits_says_what_for(kubectl: Kubectl, podspace: Server) -> None:
    podspace.apply(pods.pod("waits", {"name": "c", "image": "no/such:image"}))
    deadline = time.monotonic() + 30
    while "trying and failing" not in (said := kubectl.run("logs", "waits").stderr):
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    assert 'container "c" in pod "waits" is waiting to start: trying and failing to pull image' in said
    podspace.apply(pods.pod("nowhere", nodeSelector={"no": "where"}))
    assert kubectl("logs", "nowhere") == ""
    kubectl("delete", "pod", "waits", "nowhere", "--now")


def test_words_for_what_is_asked_wrongly(podspace: Server) -> None:
    base = "/api/v1/namespaces/default/pods"
    for query, words in (
        ("container=c&tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("container=c&limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
        ("", "a container name must be specified for pod full, choose one of: [before c once]"),
    ):
        done = podspace.run("kubectl", "get", "--raw", f"{base}/full/log?{query}", check=False)
        assert words in done.stderr
    assert json.loads(podspace.kubectl("get", "pod", "full", "-o", "json"))["status"]["phase"] == "Running"

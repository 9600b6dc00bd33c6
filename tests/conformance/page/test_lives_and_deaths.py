"""What every user of a shared process namespace relies on when things end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import pods
from tests.support.server import Server

pytestmark = pytest.mark.root

LEAVER = "sleep 5001 & sleep 5002 & exec sleep 5000"


def shared_pod(name: str, *commands: str, **spec: Any) -> dict[str, Any]:
    containers = [
        {"name": f"c{number}", "image": "busybox:1.28", "command": ["sh", "-c", command]} for number, command in enumerate(commands)
    ]
    base = {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 1, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": base | spec}


def commands_of(podspace: Server, name: str, container: str) -> list[str]:
    listing = podspace.exec(name, container, "ps", "-o", "args")
    return [line.strip() for line in listing.splitlines()[1:]]


def status_of(podspace: Server, name: str, container: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in podspace.pod(name)["status"]["containerStatuses"] if s["name"] == container)
    return found


@pytest.fixture(scope="module")
def pair(podspace: Server) -> Iterator[Server]:
    podspace.apply(shared_pod("pair", LEAVER, "exec sleep 6000"))
    podspace.wait_ready("pair")
    yield podspace
    podspace.kubectl("delete", "pod", "pair", "--grace-period=1")


def test_leftovers_die_with_their_container_and_it_restarts_into_the_same_namespace(pair: Server) -> None:
    pods.eventually(lambda: set(commands_of(pair, "pair", "c1")), lambda seen: {"sleep 5000", "sleep 5001", "sleep 5002"} <= seen)
    neighbour = status_of(pair, "pair", "c1")["containerID"]
    namespace = pair.exec("pair", "c1", "readlink", "/proc/1/ns/pid")
    listing = pair.exec("pair", "c1", "ps", "-o", "pid,args")
    pid = next(line.split()[0] for line in listing.splitlines() if line.endswith("sleep 5000"))
    pair.exec("pair", "c1", "kill", "-KILL", pid)
    pair.wait_for("pair", "{.status.containerStatuses[0].restartCount}=1")
    pair.wait_ready("pair")
    # what the killed container left behind must be gone, what the new one started be there
    commands = pods.eventually(lambda: commands_of(pair, "pair", "c1"), lambda seen: seen.count("sleep 5001") == 1)
    assert commands[0] == "/pause"
    assert pair.exec("pair", "c0", "readlink", "/proc/1/ns/pid") == namespace
    assert status_of(pair, "pair", "c1")["containerID"] == neighbour
    assert status_of(pair, "pair", "c1")["restartCount"] == 0
    ended = status_of(pair, "pair", "c0")["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")


def test_killing_pause_restarts_all_containers_of_the_pod(podspace: Server) -> None:
    podspace.apply(shared_pod("pauseless", "exec sleep 6001", "exec sleep 6002"))
    podspace.wait_ready("pauseless")
    before = {s["containerID"] for s in podspace.pod("pauseless")["status"]["containerStatuses"]}
    podspace.exec("pauseless", "c0", "kill", "-TERM", "1", check=False)
    for number in (0, 1):
        podspace.wait_for("pauseless", f"{{.status.containerStatuses[{number}].restartCount}}=1")
    podspace.wait_ready("pauseless")
    assert not before & {s["containerID"] for s in podspace.pod("pauseless")["status"]["containerStatuses"]}
    assert commands_of(podspace, "pauseless", "c1")[0] == "/pause"
    assert "SandboxChanged" in podspace.kubectl("get", "events", "--field-selector", "involvedObject.name=pauseless")
    podspace.kubectl("delete", "pod", "pauseless", "--grace-period=1")


def test_with_restart_policy_never_a_container_that_ends_leaves_the_neighbour_running(podspace: Server) -> None:
    podspace.apply(shared_pod("once", "sleep 5003 & exit 3", "exec sleep 6003", restartPolicy="Never"))
    podspace.wait_for("once", "{.status.containerStatuses[0].state.terminated.exitCode}=3")
    commands = pods.eventually(lambda: commands_of(podspace, "once", "c1"), lambda seen: "sleep 6003" in seen)
    assert "sleep 5003" not in commands
    podspace.kubectl("delete", "pod", "once", "--grace-period=1")


def test_crashing_containers_back_off_and_say_so(podspace: Server) -> None:
    podspace.apply(shared_pod("crash", "echo my last words; exit 7"))
    found = podspace.wait_for("crash", "{.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    status = found["status"]["containerStatuses"][0]
    assert re.match(r"back-off \d+s restarting failed container=c0 pod=crash_default\(.*\)", status["state"]["waiting"]["message"])
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert "my last words" in podspace.kubectl("logs", "crash", "--previous")
    podspace.kubectl("delete", "pod", "crash", "--grace-period=1")


def test_a_pod_whose_containers_succeed_is_succeeded_and_keeps_its_logs(podspace: Server) -> None:
    podspace.apply(shared_pod("done", "echo all done", restartPolicy="Never"))
    podspace.wait_for("done", "{.status.phase}=Succeeded")
    assert podspace.kubectl("logs", "done") == "all done\n"
    assert "Completed" in podspace.kubectl("get", "pod", "done")
    podspace.kubectl("delete", "pod", "done")


def test_deleting_waits_for_the_grace_period_and_not_longer(podspace: Server) -> None:
    podspace.apply(shared_pod("polite", "trap 'echo bye > /shared/said; exit 0' TERM; while :; do sleep 0.1; done"))
    podspace.wait_ready("polite")
    podspace.kubectl("delete", "pod", "polite", "--grace-period=20", timeout=15)
    assert podspace.run("kubectl", "get", "pod", "polite", check=False).returncode == 1


def test_init_containers_run_before_the_others(podspace: Server) -> None:
    init = [{"name": f"i{n}", "image": "busybox:1.28", "command": ["sh", "-c", f"echo {n} >> /work/order"]} for n in (1, 2)]
    mounts = [{"name": "work", "mountPath": "/work"}]
    manifest = shared_pod("ordered", "cat /work/order; exec sleep 6004", initContainers=init, volumes=[{"name": "work", "emptyDir": {}}])
    for container in [*init, *manifest["spec"]["containers"]]:
        container["volumeMounts"] = mounts
    podspace.apply(manifest)
    podspace.wait_ready("ordered")
    pods.eventually(lambda: podspace.kubectl("logs", "ordered", "-c", "c0"), lambda log: log == "1\n2\n")
    podspace.kubectl("delete", "pod", "ordered", "--grace-period=1")

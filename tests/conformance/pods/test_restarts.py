"""Which containers start again, by policy and by rule; Pods that are over because their time is."""

from __future__ import annotations

import time

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
WORK = [{"name": "w", "emptyDir": {}}]
MOUNT = [{"name": "w", "mountPath": "/w"}]


def rule(action: str, *codes: int, operator: str = "In") -> pods.Manifest:
    return {"action": action, "exitCodes": {"operator": operator, "values": list(codes)}}


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server) -> None:
    once = box("echo x >> /w/log; test $(wc -l < /w/log) -gt 1 && exit 3; exit 42", volumeMounts=MOUNT)
    once |= {"restartPolicy": "Never", "restartPolicyRules": [rule("Restart", 42)]}
    unhurried = {"terminationGracePeriodSeconds": 30, "restartPolicy": "Always"}
    pods.create(
        node,
        pod("rules", once, volumes=WORK),
        pod("policies", box("exit 1", "never", restartPolicy="Never"), box(FOREVER, "always"), restartPolicy="Always"),
        pod("init-once", box("true"), initContainers=[box("exit 1", "i", restartPolicy="Never")], restartPolicy="Always"),
        pod("late", box("trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done"), activeDeadlineSeconds=6, **unhurried),
        pod("crash", box("echo $RANDOM; exit 1"), restartPolicy="Always"),
        pod("late-pulling", box("true", image="nosuch:9"), activeDeadlineSeconds=2),
        restarting_pod(),
    )


def restarting_pod() -> pods.Manifest:
    rules = [rule("RestartAllContainers", 88)]
    watcher = box("while ! test -e /w/go; do sleep 0.05; done; rm /w/go; exit 88", "watcher", volumeMounts=MOUNT)
    watcher |= {"restartPolicy": "Always", "restartPolicyRules": rules}
    setup = box("echo setup >> /w/log", "setup", volumeMounts=MOUNT)
    return pod(
        "gang",
        box("echo said; echo main >> /w/log; exec sleep 7411", "main", volumeMounts=MOUNT),
        box("exit 0", "done"),
        initContainers=[setup, watcher],
        volumes=WORK,
        terminationGracePeriodSeconds=600,
    )


def test_rules_by_exit_code_win_over_the_policy(node: Server) -> None:
    node.wait_for("rules", "{.status.phase}=Failed")
    found = pods.container_status(node, "rules")
    assert (found["restartCount"], found["state"]["terminated"]["exitCode"]) == (1, 3)
    assert found["lastState"]["terminated"]["exitCode"] == 42


def test_a_container_may_have_a_policy_of_its_own(node: Server) -> None:
    node.wait_for("policies", "{.status.containerStatuses[1].state.terminated.exitCode}=1")
    assert pods.container_status(node, "policies", "never")["restartCount"] == 0
    assert node.pod("policies")["status"]["phase"] == "Running"
    node.wait_for("init-once", "{.status.phase}=Failed")
    assert "Init:Error" in node.kubectl("get", "pod", "init-once")


def test_a_rule_restarts_all_containers_in_place(node: Server) -> None:
    node.wait_for("gang", "{.status.containerStatuses[1].state.running}")
    node.wait_for("gang", "{.status.containerStatuses[0].state.terminated.exitCode}=0")
    address = node.pod("gang")["status"]["podIP"]
    began = time.monotonic()
    node.exec("gang", "main", "touch", "/w/go", check=False)  # it may end with the container that it has restarted
    node.wait_for("gang", "{.status.containerStatuses[1].restartCount}=1")
    node.wait_for("gang", "{.status.containerStatuses[1].state.running}")
    assert time.monotonic() - began < 60, "nobody gets its grace"
    status = node.pod("gang")["status"]
    assert status["podIP"] == address
    assert node.exec("gang", "main", "cat", "/w/log").split() == ["setup", "main", "setup", "main"]
    assert {entry["restartCount"] for entry in (*status["initContainerStatuses"], *status["containerStatuses"])} == {1}
    killed = pods.container_status(node, "gang", "main")["lastState"]["terminated"]
    assert (killed["exitCode"], killed["reason"]) == (137, "RestartingAllContainers")
    assert pods.container_status(node, "gang", "watcher")["lastState"]["terminated"]["exitCode"] == 88
    condition = next(c for c in status["conditions"] if c["type"] == "AllContainersRestarting")
    assert condition["status"] == "False"
    assert status["phase"] == "Running"


def test_of_the_dead_instances_of_a_container_the_last_is_kept(node: Server) -> None:
    node.wait_for("crash", "{.status.containerStatuses[0].restartCount}=2")
    uid = node.pod("crash")["metadata"]["uid"]
    logs = node.paths.log / f"default_crash_{uid}" / "c"
    assert {path.name for path in logs.iterdir()} <= {"1.log", "2.log", "3.log"}
    assert len(list(logs.iterdir())) <= 2
    assert node.kubectl("logs", "crash", "--previous").strip().isdigit()


def test_a_pod_that_takes_too_long_has_failed(node: Server) -> None:
    for name in ("late", "late-pulling"):
        node.wait_for(name, "{.status.phase}=Failed")
        status = node.pod(name)["status"]
        assert status["reason"] == "DeadlineExceeded"
        assert status["message"] == "Pod was active on the node longer than the specified deadline"
        assert set(pods.wait_told(node, name, "DeadlineExceeded")) == {status["message"]}  # again by a server that came back meanwhile
    assert pods.container_status(node, "late")["state"]["terminated"]["exitCode"] == 0, "it had its grace"


def test_readiness_and_restarts_outlive_the_server(own_server: Server) -> None:
    """What was ready stays so without a gap, what was killed by a rule is not killed again."""
    probe = {"exec": {"command": ["cat", "/ready"]}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10}
    steady = pod("steady", box(f"touch /ready; {FOREVER}", readinessProbe=probe), restartPolicy="Always")
    pods.create(own_server, steady, restarting_pod())
    own_server.wait_ready("steady")
    own_server.wait_for("gang", "{.status.containerStatuses[1].state.running}")
    own_server.exec("gang", "main", "touch", "/w/go", check=False)  # it may end with the container that it has restarted
    own_server.wait_for("gang", "{.status.containerStatuses[1].restartCount}=1")
    own_server.wait_for("gang", "{.status.containerStatuses[1].state.running}")
    since = _ready_since(own_server)
    own_server.kill()
    own_server.start()
    own_server.exec("steady", "c", "rm", "/ready")
    own_server.wait_for("steady", "{.status.containerStatuses[0].ready}=false")
    own_server.exec("steady", "c", "touch", "/ready")
    own_server.wait_ready("steady")
    own_server.kill()
    own_server.start()
    again = _ready_since(own_server)
    assert again > since
    own_server.kubectl("annotate", "pod", "steady", "look=now")
    assert _ready_since(own_server) == again
    assert pods.container_status(own_server, "gang", "main")["restartCount"] == 1
    assert own_server.kubectl("logs", "gang", "-c", "main", "--previous") == "said\n"
    assert own_server.exec("gang", "main", "cat", "/w/log").split() == ["setup", "main", "setup", "main"]


def _ready_since(server: Server) -> str:
    conditions = server.pod("steady")["status"]["conditions"]
    found = next(c for c in conditions if c["type"] == "Ready")
    assert found["status"] == "True"
    return str(found["lastTransitionTime"])

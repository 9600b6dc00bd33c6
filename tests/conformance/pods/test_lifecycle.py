"""Phases, restarts, order: what a Pod's life looks like from outside, as a kubelet would have it."""

from __future__ import annotations

import re
import time

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def wait_waiting(node: Server, name: str, reason: str, kind: str = "containerStatuses") -> pods.Manifest:
    """Return the Pod as it was then: what waits for a back-off does so for some seconds only."""
    return node.wait_for(name, f"{{.status.{kind}[0].state.waiting.reason}}={reason}")


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server) -> None:
    """Pods that need nothing but to be looked at later."""
    exits = [
        pod(f"exit-{policy.lower()}-{code}", box(f"exit {code}"), restartPolicy=policy)
        for policy in ("Never", "OnFailure", "Always")
        for code in (0, 3)
    ]
    pods.create(
        node,
        *exits,
        pod("mixed", box("exit 0", "good"), box("exit 3", "bad")),
        pod("order", box("cat /w/log", volumeMounts=MOUNT), initContainers=[init("one"), init("two")], volumes=WORK),
        pod("init-never", box("echo no"), initContainers=[box("echo oh >&2; exit 4", "i")]),
        pod("init-retry", box("echo no"), initContainers=[box("exit 4", "i")], restartPolicy="Always"),
        pod("sidecar-done", box("cat /w/log", volumeMounts=MOUNT), initContainers=[sidecar(), after_sidecar("two")], volumes=WORK),
        pod("message", box("echo lost words; echo -n last words > /dev/termination-log; exit 2")),
        pod("message-path", box("echo -n here > /said; exit 0", terminationMessagePath="/said")),
        pod("message-log", box("echo in the log; exit 2", terminationMessagePolicy="FallbackToLogsOnError")),
        pod("message-long", box("yes | head -c 10000 > /dev/termination-log; exit 1")),
        pod("no-binary", {"name": "c", "image": pods.IMAGE, "command": ["/no/such"]}),
        pod("pinned", box("exit 0"), nodeName=pods.node_name(node), securityContext={"seLinuxOptions": {"type": "me"}}),
        pod("elsewhere", box("exit 0"), schedulerName="other"),
        pod("huge", box("exit 0", resources={"requests": {"memory": "1000Ti", "cpu": "1000"}})),
    )


WORK = [{"name": "w", "emptyDir": {}}]
MOUNT = [{"name": "w", "mountPath": "/w"}]


def init(name: str) -> pods.Manifest:
    return box(f"echo {name} >> /w/log", name, volumeMounts=MOUNT)


def after_sidecar(name: str) -> pods.Manifest:
    """A sidecar counts as started before it has said a word."""
    return box(f"until grep -qs side /w/log; do sleep 0.05; done; echo {name} >> /w/log", name, volumeMounts=MOUNT)


def sidecar(name: str = "side") -> pods.Manifest:
    script = FOREVER.replace("while", f"echo {name} >> /w/log; while", 1)
    return box(script, name, volumeMounts=MOUNT, restartPolicy="Always")


@pytest.mark.parametrize(
    ("name", "phase", "reason", "code"),
    [
        ("exit-never-0", "Succeeded", "Completed", 0),
        ("exit-never-3", "Failed", "Error", 3),
        ("exit-onfailure-0", "Succeeded", "Completed", 0),
    ],
)
def test_a_container_that_is_not_restarted_ends_its_pod(node: Server, name: str, phase: str, reason: str, code: int) -> None:
    node.wait_for(name, f"{{.status.phase}}={phase}")
    whole = node.wait_for(name, '{.status.conditions[?(@.type=="PodReadyToStartContainers")].status}=False')  # it goes after the containers
    [found] = whole["status"]["containerStatuses"]
    assert found["state"]["terminated"].items() >= {"exitCode": code, "reason": reason, "containerID": found["containerID"]}.items()
    assert (found["ready"], found["started"], found["restartCount"], found["lastState"]) == (False, False, 0, {})
    conditions = {c["type"]: (c["status"], c.get("reason")) for c in whole["status"]["conditions"]}
    assert conditions["Ready"] == conditions["ContainersReady"] == ("False", "PodCompleted" if phase == "Succeeded" else "PodFailed")
    assert conditions["PodReadyToStartContainers"] == ("False", None)


def test_a_container_that_will_be_restarted_is_seen_to_have_ended_before_it_is_seen_to_wait(node: Server) -> None:
    pods.create(node, pod("exit-seen", box("exit 3"), restartPolicy="Always"))
    node.wait_for("exit-seen", "{.status.containerStatuses[0].restartCount}=1")
    found = node.wait_for("exit-seen", "{.status.containerStatuses[0].state.terminated.exitCode}=3")
    assert found["status"]["phase"] == "Running"
    wait_waiting(node, "exit-seen", "CrashLoopBackOff")


@pytest.mark.parametrize("name", ["exit-onfailure-3", "exit-always-0", "exit-always-3"])
def test_a_container_that_is_restarted_backs_off_and_its_pod_runs(node: Server, name: str) -> None:
    whole = wait_waiting(node, name, "CrashLoopBackOff")
    [found] = whole["status"]["containerStatuses"]
    code = int(name[-1])
    reason = "Completed" if code == 0 else "Error"
    assert found["lastState"]["terminated"].items() >= {"exitCode": code, "reason": reason}.items()
    assert found["restartCount"] >= 1
    assert re.match(r"back-off \d+s restarting failed container=c pod=" + name, found["state"]["waiting"]["message"])
    assert whole["status"]["phase"] == "Running"
    back_off = [event for event in pods.events(node, name) if event["reason"] == "BackOff"]
    assert len(back_off) == 1
    assert back_off[0]["message"].startswith(f"Back-off restarting failed container c in pod {name}_default(")


def test_one_failure_among_successes_fails_the_pod(node: Server) -> None:
    node.wait_for("mixed", "{.status.phase}=Failed")
    assert pods.container_status(node, "mixed", "good")["state"]["terminated"]["exitCode"] == 0


def test_init_containers_run_in_order(node: Server) -> None:
    assert pods.output(node, "order") == ["one", "two"]
    one, two = (pods.container_status(node, "order", name)["state"]["terminated"] for name in ("one", "two"))
    assert one["finishedAt"] <= two["startedAt"]


def test_an_init_container_that_fails_for_good_fails_the_pod(node: Server) -> None:
    node.wait_for("init-never", "{.status.phase}=Failed")
    status = node.pod("init-never")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    initialized = next(c for c in status["conditions"] if c["type"] == "Initialized")
    assert (initialized["status"], initialized["reason"]) == ("False", "ContainersNotInitialized")


def test_an_init_container_that_fails_is_tried_again_and_nothing_else_starts(node: Server) -> None:
    found = wait_waiting(node, "init-retry", "CrashLoopBackOff", "initContainerStatuses")["status"]
    assert re.search("Init:(CrashLoopBackOff|Error|0/1)", node.kubectl("get", "pod", "init-retry"))  # it may just run again
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert found["phase"] == "Pending"


def test_a_sidecar_does_not_keep_a_pod_from_ending(node: Server) -> None:
    assert pods.output(node, "sidecar-done") == ["side", "two"]
    side, two = (pods.container_status(node, "sidecar-done", name) for name in ("side", "two"))
    assert side["state"]["terminated"]["exitCode"] == 0
    assert side["state"]["terminated"]["startedAt"] <= two["state"]["terminated"]["startedAt"]
    assert ("Killing", "Stopping container side") in pods.told(node, "sidecar-done")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("message", 2, "last words"), ("message-path", 0, "here"), ("message-log", 2, "in the log\n")],
)
def test_last_words_are_shown(node: Server, name: str, code: int, message: str) -> None:
    node.wait_for(name, f"{{.status.containerStatuses[0].state.terminated.exitCode}}={code}")
    assert pods.container_status(node, name)["state"]["terminated"]["message"] == message


def test_last_words_are_cut_at_four_kilobytes(node: Server) -> None:
    node.wait_for("message-long", "{.status.phase}=Failed")
    assert len(pods.container_status(node, "message-long")["state"]["terminated"]["message"]) == 4096


def test_a_program_that_is_not_there_is_told_in_the_runtimes_words(node: Server) -> None:
    node.wait_for("no-binary", "{.status.phase}=Failed")
    state = pods.container_status(node, "no-binary")["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert "/no/such" in state["message"]


def test_a_pod_bound_by_hand_is_refused_if_it_needs_what_is_not_done(node: Server) -> None:
    node.wait_for("pinned", "{.status.phase}=Failed")
    status = node.pod("pinned")["status"]
    assert (
        status["message"]
        == "Pod was rejected: podspace does not honour spec.securityContext.seLinuxOptions.type (podspace labels nothing for SELinux)"
    )
    assert "containerStatuses" not in status


def test_a_pod_for_another_scheduler_waits_and_says_so(node: Server) -> None:
    assert node.pod("elsewhere")["status"]["phase"] == "Pending"
    node.run("kubectl", "wait", "--for=jsonpath={.reason}=FailedScheduling", "event", "--field-selector=involvedObject.name=elsewhere")
    assert pods.told(node, "elsewhere") == [("FailedScheduling", "there is no scheduler other here; the Pod waits until somebody binds it")]


def test_a_pod_that_asks_for_more_than_there_is_waits(node: Server) -> None:
    node.wait_for("huge", "{.status.conditions[0].reason}=Unschedulable")
    message = node.pod("huge")["status"]["conditions"][0]["message"]
    assert message.startswith(
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. no new claims to deallocate, preemption: "
    )


def test_a_new_sandbox_runs_the_init_containers_again(node: Server) -> None:
    manifest = pod("renewed", box("exec sleep 7001", volumeMounts=MOUNT), initContainers=[init("one")], volumes=WORK)
    manifest["spec"] |= {"restartPolicy": "Always", "shareProcessNamespace": True}
    pods.create(node, manifest)
    node.wait_ready("renewed")
    node.exec("renewed", "c", "kill", "-TERM", "1", check=False)
    node.wait_for("renewed", "{.status.containerStatuses[0].restartCount}=1")
    node.wait_ready("renewed")
    assert node.exec("renewed", "c", "cat", "/w/log").splitlines() == ["one", "one"]
    assert ("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.") in pods.told(node, "renewed")


def test_an_image_changed_on_a_running_pod_restarts_that_container_alone(node: Server) -> None:
    containers = [box(FOREVER, "a"), box(FOREVER, "b")]
    pods.create(node, pod("changed", *containers))
    node.wait_ready("changed")
    other = pods.container_status(node, "changed", "b")["containerID"]
    node.kubectl("label", "pod", "changed", "colour=red")
    node.kubectl("annotate", "pod", "changed", "note=x")
    node.kubectl("set", "image", "pod/changed", "a=busybox:latest")
    node.wait_for("changed", "{.status.containerStatuses[0].restartCount}=1")
    node.wait_for("changed", "{.status.containerStatuses[0].image}=docker.io/library/busybox:latest")
    node.wait_ready("changed")
    assert pods.container_status(node, "changed", "b")["containerID"] == other
    assert pods.container_status(node, "changed", "a")["lastState"]["terminated"]["exitCode"] == 0
    story = [event for event in pods.events(node, "changed") if event["involvedObject"].get("fieldPath") == "spec.containers{a}"]
    messages = [event["message"] for event in story]
    assert "Container a definition changed, will be restarted" in messages
    assert next(event for event in story if event["reason"] == "Started")["count"] == 2
    status = node.pod("changed")
    assert status["status"]["observedGeneration"] == status["metadata"]["generation"] == 2


def test_a_wrong_image_put_right_starts_at_once(node: Server) -> None:
    pods.create(node, pod("righted", box(FOREVER, image="nosuch:1")))
    wait_waiting(node, "righted", "ErrImagePull")
    node.kubectl("set", "image", "pod/righted", "c=busybox:1.28")
    node.wait_ready("righted", seconds=9)  # pulls are tried again every ten


def test_a_pod_can_be_deleted_whatever_it_is_doing(node: Server) -> None:
    pods.create(
        node,
        pod("del-init", box("true"), initContainers=[box("exec sleep 7000", "i")]),
        pod("del-backoff", box("exit 1"), restartPolicy="Always"),
        pod("del-pulling", box("true", image="nosuch:2")),
        pod("del-volume", box("true", volumeMounts=MOUNT), volumes=[{"name": "w", "configMap": {"name": "nosuch"}}]),
    )
    node.wait_for("del-init", "{.status.initContainerStatuses[0].started}=true")
    wait_waiting(node, "del-backoff", "CrashLoopBackOff")
    started = time.monotonic()
    node.kubectl("delete", "pod", "del-init", "del-backoff", "del-pulling", "del-volume", timeout=60)
    assert time.monotonic() - started < 30, "nobody waits for anything"

"""Lifecycle hooks and stop signals of real containers, and how they share a Pod's grace."""

from __future__ import annotations

import time

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; while :; do sleep 0.05; done"
MOUNT = [{"name": "w", "mountPath": "/w"}]


def shell(script: str) -> pods.Manifest:
    return {"exec": {"command": ["sh", "-c", script]}}


@pytest.fixture
def kept(node: Server, request: pytest.FixtureRequest) -> list[pods.Manifest]:
    """A volume that outlives its Pod."""
    return [{"name": "w", "hostPath": {"path": str(node.root / request.node.name), "type": "DirectoryOrCreate"}}]


def written(kept: list[pods.Manifest]) -> list[str]:
    with open(f"{kept[0]['hostPath']['path']}/log") as file:
        return file.read().split()


def test_hooks_run_after_the_start_and_before_the_stop(node: Server, kept: list[pods.Manifest]) -> None:
    script = "trap 'echo term >> /w/log; exit 0' TERM; echo begin >> /w/log; while :; do sleep 0.05; done"
    hooks = {
        "postStart": shell("until grep -qs begin /w/log; do sleep 0.05; done; sleep 0.3; echo started >> /w/log"),
        "preStop": shell("echo stopping >> /w/log; sleep 0.3"),
    }
    second = box("trap 'exit 0' TERM; cat /w/log > /w/new; mv /w/new /w/seen; sleep 600 & wait", "second", volumeMounts=MOUNT)
    containers = [box(script, "first", volumeMounts=MOUNT, lifecycle=hooks), second]
    pods.create(node, pod("hooks", *containers, volumes=kept, terminationGracePeriodSeconds=30))
    node.wait_ready("hooks")
    seen = node.exec("hooks", "second", "sh", "-c", "while ! test -e /w/seen; do sleep 0.05; done; cat /w/seen")
    assert seen.split() == ["begin", "started"], "what comes after a hook waits for it"
    node.kubectl("delete", "pod", "hooks", "--wait=false")
    node.kubectl("wait", "--for=delete", "pod/hooks", "--timeout=60s", timeout=90)
    assert written(kept) == ["begin", "started", "stopping", "term"]


def test_a_container_whose_hook_runs_is_being_created(node: Server) -> None:
    hooks = {"postStart": shell("while ! test -e /go; do sleep 0.05; done")}
    pods.create(node, pod("held", box(FOREVER, lifecycle=hooks)))
    pods.wait_told(node, "held", "Started")
    assert pods.container_status(node, "held")["state"] == {"waiting": {"reason": "ContainerCreating"}}
    node.exec("held", "c", "touch", "/go", check=False)
    node.wait_ready("held")


def test_a_pod_can_be_deleted_while_its_hook_runs(node: Server) -> None:
    pods.create(node, pod("hooked", box(FOREVER, lifecycle={"postStart": shell("sleep 600")})))
    pods.wait_told(node, "hooked", "Started")
    began = time.monotonic()
    node.kubectl("delete", "pod", "hooked", timeout=60)
    assert time.monotonic() - began < 20


def test_a_container_whose_hook_fails_is_killed(node: Server) -> None:
    hooks = {"postStart": shell("until [ -e /up ]; do sleep 0.05; done; echo no >&2; exit 5")}
    heeding = FOREVER.replace("while", "touch /up; while", 1)  # before its trap is set the first process of a namespace ignores signals
    pods.create(node, pod("hook-fails", box(heeding, lifecycle=hooks), restartPolicy="Always"))
    whole = node.wait_for("hook-fails", "{.status.containerStatuses[0].state.waiting.reason}=PostStartHookError")
    pods.wait_told(node, "hook-fails", "BackOff")
    story = pods.told(node, "hook-fails")
    assert story.index(("FailedPostStartHook", "PostStartHook failed")) < story.index(("Killing", "FailedPostStartHook"))
    assert whole["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 0
    node.wait_for("hook-fails", "{.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    pods.create(node, pod("hook-never", box(heeding, lifecycle=hooks)))
    node.wait_for("hook-never", "{.status.phase}=Succeeded")


def test_hooks_by_http(node: Server) -> None:
    web = {"name": "web", "image": "nginx", "ports": [{"containerPort": 80}], "readinessProbe": {"tcpSocket": {"port": 80}}}
    pods.create(node, pod("target", web))
    node.wait_ready("target")
    address = node.pod("target")["status"]["podIP"]
    hooks = {
        "postStart": {"httpGet": {"host": address, "port": 80, "path": "/none-started"}},
        "preStop": {"httpGet": {"host": address, "port": 80, "path": "/stopping"}},
    }
    pods.create(node, pod("caller", box(FOREVER, lifecycle=hooks)))
    node.wait_ready("caller")
    node.kubectl("delete", "pod", "caller")
    log = pods.eventually(lambda: node.kubectl("logs", "target"), lambda log: "/stopping" in log)  # nginx answers, and then writes
    assert '"GET /none-started HTTP/1.1" 404' in log, "any answer will do"
    assert '"GET /stopping HTTP/1.1" 404' in log
    assert '"kube-lifecycle/1.36"' in log


def test_a_hook_by_socket_fails_as_it_does_in_a_kubelet(node: Server) -> None:
    pods.create(node, pod("hook-socket", box(FOREVER, lifecycle={"postStart": {"tcpSocket": {"port": 80}}})))
    pods.wait_told(node, "hook-socket", "FailedPostStartHook")


def test_a_hook_that_sleeps_and_the_grace_it_has(node: Server, kept: list[pods.Manifest]) -> None:
    """The hook may use up the grace; the container then gets two seconds for its stop signal."""
    script = "trap 'echo term >> /w/log; exit 0' TERM; while :; do sleep 0.05; done"
    hooks = {"preStop": {"sleep": {"seconds": 2}}}
    pods.create(node, pod("sleeper", box(script, volumeMounts=MOUNT, lifecycle=hooks), volumes=kept, terminationGracePeriodSeconds=2))
    node.wait_ready("sleeper")
    began = time.monotonic()
    node.kubectl("delete", "pod", "sleeper", timeout=60)
    assert time.monotonic() - began >= 2
    assert written(kept) == ["term"]


def test_a_hook_that_fails_is_told_and_one_without_end_is_cut_short(node: Server) -> None:
    failing = box(FOREVER, "a", lifecycle={"preStop": shell("exit 1")})
    endless = box(DEAF, "b", lifecycle={"preStop": shell("sleep 600")})
    pods.create(node, pod("stops", failing, endless, terminationGracePeriodSeconds=2))
    node.wait_ready("stops")
    node.kubectl("delete", "pod", "stops", timeout=60)
    assert pods.wait_told(node, "stops", "FailedPreStopHook") == ["PreStopHook failed"] * 2


def test_more_haste_cuts_a_hook_short(node: Server) -> None:
    pods.create(node, pod("haste", box(DEAF, lifecycle={"preStop": shell("sleep 600")}), terminationGracePeriodSeconds=600))
    node.wait_ready("haste")
    node.kubectl("delete", "pod", "haste", "--wait=false")
    pods.wait_told(node, "haste", "Killing")
    began = time.monotonic()
    node.kubectl("delete", "pod", "haste", "--grace-period=1", timeout=60)
    assert time.monotonic() - began < 30


def test_sidecars_stop_after_the_others_in_reverse_order_and_their_hooks_begin_with_them(node: Server, kept: list[pods.Manifest]) -> None:
    def telling(name: str, **fields: object) -> pods.Manifest:
        script = f"trap 'echo {name} >> /w/log; exit 0' TERM; while :; do sleep 0.05; done"
        return box(script, name, volumeMounts=MOUNT, **fields)

    early = {"preStop": shell("echo hook >> /w/log")}
    sidecars = [telling("one", restartPolicy="Always", lifecycle=early), telling("two", restartPolicy="Always")]
    main = telling("main", lifecycle={"preStop": {"sleep": {"seconds": 1}}})
    pods.create(node, pod("waves", main, initContainers=sidecars, volumes=kept, terminationGracePeriodSeconds=30))
    node.wait_ready("waves")
    node.kubectl("delete", "pod", "waves", timeout=60)
    assert written(kept) == ["hook", "main", "two", "one"]


def test_the_stop_signal_is_the_containers_or_the_images(node: Server, kept: list[pods.Manifest]) -> None:
    script = "trap 'echo usr1 >> /w/log; exit 0' USR1; trap '' TERM; while :; do sleep 0.05; done"
    own = box(script, "own", volumeMounts=MOUNT, lifecycle={"stopSignal": "SIGUSR1"})
    web = {"name": "web", "image": "nginx"}
    pods.create(node, pod("signals", own, web, volumes=kept, os={"name": "linux"}, terminationGracePeriodSeconds=60))
    node.wait_ready("signals")
    assert pods.container_status(node, "signals", "own")["stopSignal"] == "SIGUSR1"
    assert pods.container_status(node, "signals", "web")["stopSignal"] == "SIGQUIT"
    began = time.monotonic()
    node.kubectl("delete", "pod", "signals", timeout=90)
    assert time.monotonic() - began < 30
    assert written(kept) == ["usr1"]


def test_in_a_shared_process_namespace_everything_a_container_started_is_killed(node: Server) -> None:
    """Its main process heeds the signal, its child does not."""
    script = "(trap '' TERM; exec sleep 7312) & trap 'exit 0' TERM; while :; do sleep 0.05; done"
    live = {
        "livenessProbe": {
            "exec": {"command": ["test", "!", "-e", "/dead"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
            "timeoutSeconds": 10,
        }
    }
    pods.create(node, pod("family", box(script, "a", **live), box(FOREVER, "b"), shareProcessNamespace=True, restartPolicy="Always"))
    node.wait_ready("family")
    node.exec("family", "a", "touch", "/dead", check=False)  # the probe may end it with the container
    node.wait_for("family", "{.status.containerStatuses[0].restartCount}=1")
    node.wait_ready("family")
    pods.eventually(lambda: node.exec("family", "b", "ps").count("root     sleep 7312"), lambda count: count == 1)

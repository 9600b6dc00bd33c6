"""The paragraph of ``podspace why``."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.lens import why

Json = dict[str, Any]


def pod(*entries: Json, phase: str = "Pending", spec: Json | None = None, **status: Any) -> Json:
    own = {"phase": phase, "containerStatuses": list(entries)} | status
    return {"metadata": {"name": "web"}, "spec": {"nodeName": "n", "restartPolicy": "Always"} | (spec or {}), "status": own}


def waiting(reason: str, message: str = "", **more: Any) -> Json:
    return {"name": "app", "image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}} | more


def ended(code: int, message: str = "", reason: str = "Error") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def test_a_pod_that_runs_is_well() -> None:
    entry = {"name": "app", "ready": True, "state": {"running": {}}}
    assert why.explain(pod(entry, phase="Running"), []) == (True, "Pod web runs: every container is ready.")


def test_an_image_that_cannot_be_had_is_told_in_the_registrys_words() -> None:
    well, text = why.explain(pod(waiting("ImagePullBackOff", "manifest unknown")), [])
    assert not well
    assert 'its image x:1 cannot be had: "manifest unknown". Correct spec.containers[].image' in text


def test_a_crash_is_told_with_its_last_words() -> None:
    entry = waiting("CrashLoopBackOff", "back-off", restartCount=4, lastState=ended(1, "no config\n"))
    _, text = why.explain(pod(entry, phase="Running"), [])
    assert 'container app keeps ending with exit code 1, 4 restarts so far; its last words: "no config".' in text
    assert "podspace logs -p web -c app" in text


@pytest.mark.parametrize(("code", "policy", "keeps"), [(0, "Always", True), (1, "OnFailure", True), (0, "OnFailure", False)])
def test_a_container_that_is_about_to_be_restarted_keeps_ending(code: int, policy: str, keeps: bool) -> None:
    """Its back-off shows only after a while."""
    entry = {"name": "app", "ready": False, "restartCount": 2, "state": ended(code)}
    spec = {"restartPolicy": policy, "containers": [{"name": "app"}, {"name": "other"}]}
    _, text = why.explain(pod(entry, {"name": "other", "ready": True, "state": {"running": {}}}, phase="Running", spec=spec), [])
    assert (f"container app keeps ending with exit code {code}, 2 restarts so far" in text) is keeps


def test_an_init_that_wants_pid_1_is_told_what_to_change() -> None:
    entry = waiting("CrashLoopBackOff", restartCount=1, lastState=ended(100, "s6-overlay-suexec: fatal: can only run as pid 1"))
    _, text = why.explain(pod(entry, spec={"shareProcessNamespace": True}), [])
    assert "take spec.shareProcessNamespace away" in text
    _, text = why.explain(pod(entry), [])
    assert "shareProcessNamespace" not in text


def test_a_finding_of_the_audit_is_the_advice() -> None:
    entry = waiting("CrashLoopBackOff", restartCount=1, lastState=ended(1))
    finding = {"rule": "needs-pid-1", "container": "app", "message": "app starts systemd"}
    assert "app starts systemd." in why.explain(pod(entry), [], [finding])[1]


def test_no_room_is_told_in_the_schedulers_words() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu."}
    _, text = why.explain(pod(spec={"nodeName": ""}, conditions=[condition]), [])
    assert "no node takes it: 0/1 nodes: Insufficient cpu. Change what it asks for, or make room." in text


def test_one_that_is_not_started_yet_is_told_with_its_last_warning() -> None:
    events = [{"type": "Warning", "reason": "FailedMount", "message": 'secret "x" not found', "lastTimestamp": "2026-01-01T00:00:00Z"}]
    assert why.explain(pod(waiting("ContainerCreating")), events)[1].endswith('FailedMount: secret "x" not found.')


def test_memory_signals_and_others_are_named() -> None:
    killed = {"name": "db", "state": ended(137, reason="OOMKilled")}
    _, text = why.explain(pod(waiting("CreateContainerConfigError", "no secret"), killed), [])
    assert text.endswith("There is trouble with db too.")
    _, text = why.explain(pod(killed, phase="Failed", spec={"restartPolicy": "Never"}), [])
    assert "OOMKilled" in text
    assert "resources.limits.memory" in text

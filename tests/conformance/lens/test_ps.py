"""``podspace ps`` on real Pods."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.conformance.lens import pods
from tests.support.server import Server

pytestmark = pytest.mark.root

RAW = "/apis/lens.podspace.io/v1/namespaces/default/pods"


def seen(server: Server, name: str, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.podspace("ps", name, "-o", "json", *more))["processes"]
    return found


def test_every_process_is_listed_as_the_containers_see_it(podspace: Server) -> None:
    podspace.apply(pods.page("ps-page"))
    pods.wait_for_page(podspace, "ps-page")
    found = {entry["pid"]: entry for entry in seen(podspace, "ps-page")}
    inside = {int(pid) for pid in podspace.exec("ps-page", "shell", "sh", "-c", "cd /proc; echo [0-9]*").split()}
    assert set(found) <= inside
    assert (found[1]["container"], found[1]["command"]) == ("/pause", ["/pause"])
    masters = [entry for entry in found.values() if entry["container"] == "nginx" and entry["main"]]
    workers = [entry for entry in found.values() if entry["container"] == "nginx" and not entry["main"]]
    assert [entry["user"] for entry in masters] == ["root"]
    assert {entry["user"] for entry in workers} == {"nginx"}  # the shell's passwd has no such user
    assert {entry["parent"] for entry in workers} == {masters[0]["pid"]}


def test_kubectl_gets_the_same_from_the_api(podspace: Server) -> None:
    podspace.apply(pods.page("ps-raw"))
    pods.wait_for_page(podspace, "ps-raw")
    answer = json.loads(podspace.kubectl("get", "--raw", f"{RAW}/ps-raw/processes"))
    assert (answer["kind"], answer["apiVersion"], answer["processNamespace"]) == ("PodProcesses", "lens.podspace.io/v1", "Pod")
    (shell,) = [entry for entry in answer["containers"] if entry["name"] == "shell"]
    assert set(shell["namespaces"]["pid"]["sharedWith"]) == {"/pause", "nginx"}
    assert shell["namespaces"]["mnt"]["sharedWith"] == []
    assert shell["namespaces"]["user"]["sharedWith"][-1] == "the node"


def test_namespaces_of_their_own_are_said_to_be(podspace: Server) -> None:
    podspace.apply(pods.pod("ps-apart", pods.shell("one"), pods.shell("two")))
    podspace.wait_ready("ps-apart")
    assert {(entry["container"], entry["pid"]) for entry in seen(podspace, "ps-apart")} == {("/pause", 1), ("one", 1), ("two", 1)}
    text = podspace.podspace("ps", "ps-apart", "--tree", "-o", "wide")
    assert "one: a process namespace of its own" in text
    assert "one: pid, mnt of its own" in text.replace("cgroup, ", "")


def test_in_a_user_namespace_ids_and_names_are_the_containers(podspace: Server) -> None:
    user = pods.shell("user", "echo x > /tmp/mine; exec sleep 3600", image="nginx", securityContext={"runAsUser": 101})
    podspace.apply(pods.pod("ps-userns", pods.shell("root"), user, shareProcessNamespace=True, hostUsers=False))
    podspace.wait_ready("ps-userns")
    podspace.exec("ps-userns", "user", "sh", "-c", "until [ -s /tmp/mine ]; do :; done")
    found = {(entry["container"], entry["uid"]): entry["user"] for entry in seen(podspace, "ps-userns")}
    assert found[("root", 0)] == "root"
    assert found[("user", 101)] == "nginx"
    listed = podspace.podspace("files", "ps-userns", "-c", "user", "ls", "/tmp", "-o", "json")
    assert [(entry["path"], entry["uid"]) for entry in json.loads(listed)["entries"]] == [("/tmp/mine", 101)]


def test_a_zombie_is_found_and_stands_out(podspace: Server) -> None:
    # the child's parent becomes sleep, which reaps nobody
    podspace.apply(pods.pod("ps-zombie", pods.shell("z", "true & exec sleep 3600"), shareProcessNamespace=True))
    podspace.wait_ready("ps-zombie")
    podspace.exec("ps-zombie", "z", "sh", "-c", "until ps -o stat | grep -q Z; do :; done")
    (zombie,) = [entry for entry in seen(podspace, "ps-zombie") if entry["state"] == "zombie"]
    assert zombie["container"] == "z"
    assert "ZOMBIE" in podspace.podspace("ps", "ps-zombie")


def test_a_hostile_process_neither_hides_nor_reaches_the_terminal(podspace: Server) -> None:
    script = 'mkdir -p /tmp/d; f=/tmp/d/$(printf \'sl\\033[2J\'); printf \'#!/bin/sh\\nsleep 3600\\n:\' > "$f"; chmod +x "$f"; exec "$f"'
    podspace.apply(pods.pod("ps-evil", pods.shell("evil", script), pods.shell("good"), shareProcessNamespace=True))
    podspace.wait_ready("ps-evil")
    podspace.exec("ps-evil", "good", "sh", "-c", "until ps ax | grep -q '/tmp/d/s[l]'; do :; done")
    text = podspace.podspace("ps", "ps-evil")
    assert "\x1b" not in text
    assert "sl\\x1b[2J" in text
    assert "\x1b" not in podspace.podspace("ps", "ps-evil", "-o", "json") + podspace.podspace("ps", "ps-evil", "-o", "yaml")


def test_threads_are_listed_when_asked_for(podspace: Server) -> None:
    podspace.apply(pods.pod("ps-threads", pods.shell("one")))
    podspace.wait_ready("ps-threads")
    (one,) = [entry for entry in seen(podspace, "ps-threads", "--threads") if entry["container"] == "one"]
    assert [thread["tid"] for thread in one["threads"]] == [one["hostPid"]]


def test_churn_of_processes_does_not_disturb(podspace: Server) -> None:
    script = "while :; do true & true & true & true & wait; done"
    podspace.apply(
        pods.pod("ps-churn", pods.shell("churn", f"(sh -c 'while :; do /bin/true; done') & {script}"), shareProcessNamespace=True)
    )
    podspace.wait_ready("ps-churn")
    for _ in range(20):
        found = seen(podspace, "ps-churn")
        assert {entry["container"] for entry in found} == {"/pause", "churn"}
    podspace.kubectl("delete", "pod", "ps-churn", "--grace-period=1")


def test_a_pod_without_processes_says_so(podspace: Server) -> None:
    podspace.apply(pods.pod("ps-done", pods.shell("one", "true"), restartPolicy="Never"))
    podspace.wait_for("ps-done", "{.status.phase}=Succeeded")
    done = podspace.run(sys.executable, "-m", "podspace.cli.main", "ps", "ps-done", check=False)
    assert done.returncode == 1
    assert "nothing of it runs" in done.stderr

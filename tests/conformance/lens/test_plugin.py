"""``kubectl podspace``: the lens on any cluster, by an ephemeral container, beside what podspace's own API says of the same Pod."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.lens import pods
from tests.support.server import Server

pytestmark = pytest.mark.root

# What differs from one look to the next, or is rounded by the kernel for one way and not for the other.
MOVES = ("cpuSeconds", "residentBytes", "state", "hostPid", "hostParent", "startTime")


@pytest.fixture(scope="module")
def page(podspace: Server) -> Iterator[Server]:
    podspace.apply(pods.page("plugin"))
    podspace.wait_ready("plugin")
    yield podspace
    podspace.kubectl("delete", "pod", "plugin", "--grace-period=1", "--wait=false")


def plugin(server: Server, *words: str, check: bool = True) -> tuple[int, str, str]:
    """``kubectl podspace ...`` as kubectl finds it on PATH, looking in as on a cluster without podspace."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = server.run(
        "env", f"PATH={path}", "kubectl", "podspace", *words, "--through", "container", "--lens-image=busybox:1.28", check=check
    )
    return done.returncode, done.stdout, done.stderr


def still(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in MOVES}


def both(server: Server, *words: str) -> tuple[Any, Any]:
    """The answer from inside the Pod, and that of podspace's own API a moment later."""
    inside = json.loads(plugin(server, *words, "-o", "json")[1])
    return inside, json.loads(server.podspace(*words, "-o", "json"))


def test_ps_prints_the_same(page: Server) -> None:
    inside, outside = both(page, "ps", "plugin")
    known = {entry["name"] for entry in inside["containers"]}
    assert known == {"/pause", "nginx", "shell"}
    seen = [still(entry) for entry in inside["processes"]]
    assert seen == [still(entry) for entry in outside["processes"] if entry["container"] in known]
    nginx = next(entry for entry in inside["containers"] if entry["name"] == "nginx")
    assert set(nginx["namespaces"]["pid"]["sharedWith"]) == {"/pause", "shell"}
    assert nginx["namespaces"]["mnt"]["sharedWith"] == []
    table = plugin(page, "ps", "plugin", "--tree")[1]
    assert "└─ nginx: worker process" in table


def test_the_matrix_is_the_same(page: Server) -> None:
    inside, outside = both(page, "audit", "plugin")
    rows = {(row["actor"], row["target"]): row["computed"] for row in outside["status"]["matrix"]}
    assert {(row["actor"], row["target"]): row["computed"] for row in inside["status"]["matrix"]}.items() <= rows.items()
    assert len(inside["status"]["matrix"]) == 4


def test_a_signal_reaches_whom_it_is_for(page: Server) -> None:
    worker = next(entry for entry in both(page, "ps", "plugin")[0]["processes"] if entry["user"] == "nginx")
    assert plugin(page, "signal", "plugin", "-c", "nginx", "HUP")[1].endswith(" (nginx): sent\n")
    page.exec("plugin", "nginx", "sh", "-c", f"while [ -d /proc/{worker['pid']} ]; do :; done")
    code, _, complaint = plugin(page, "signal", "plugin", "-c", "shell", "KILL", "--process", "1", check=False)
    assert code == 1
    assert "this is /pause" in complaint


def test_files_are_the_containers_own(page: Server, tmp_path: Path) -> None:
    where = ("files", "plugin", "-c", "nginx")
    for words in (("ls", "/etc/nginx"), ("tree", "/var"), ("ls", "/var/run/../etc/nginx")):
        inside, outside = both(page, *where, *words)
        assert inside["entries"] == outside["entries"]
    assert plugin(page, *where, "cat", "/etc/nginx/nginx.conf")[1] == page.podspace(*where, "cat", "/etc/nginx/nginx.conf")
    plugin(page, *where, "cp", "/etc/nginx", str(tmp_path / "conf"))
    assert (tmp_path / "conf/mime.types").read_text() == page.exec("plugin", "nginx", "cat", "/etc/nginx/mime.types")
    assert "No such file or directory" in plugin(page, *where, "cat", "/nope", check=False)[2]
    assert "known on the node only" in plugin(page, *where, "diff", check=False)[2]


def test_an_absolute_symlink_leads_into_the_container_not_into_ours(page: Server) -> None:
    page.exec(
        "plugin",
        "nginx",
        "sh",
        "-c",
        "mkdir -p /opt; echo theirs > /root/own; ln -sf /root/own /opt/link; ln -sf loop /opt/loop; ln -sf /proc/1/root /opt/up",
    )
    where = ("files", "plugin", "-c", "nginx", "cat")
    assert plugin(page, *where, "/opt/link")[1] == "theirs\n"
    assert plugin(page, *where, "/opt/up/root/own")[1] == "theirs\n"
    assert "Too many levels of symbolic links" in plugin(page, *where, "/opt/loop", check=False)[2]


def test_containers_that_do_not_share_are_looked_into_one_by_one(podspace: Server) -> None:
    podspace.apply(pods.pod("plugin-apart", pods.shell("one", securityContext={"runAsUser": 1000}), pods.shell("two")))
    podspace.wait_ready("plugin-apart")
    inside = json.loads(plugin(podspace, "ps", "plugin-apart", "-o", "json")[1])
    assert inside["processNamespace"] == "Container"
    assert [(entry["container"], entry["pid"], entry["uid"]) for entry in inside["processes"]] == [("one", 1, 1000), ("two", 1, 0)]
    matrix = json.loads(plugin(podspace, "audit", "plugin-apart", "-o", "json")[1])["status"]["matrix"]
    assert not any(row["computed"]["see"] for row in matrix)
    ours = podspace.kubectl("get", "pod", "plugin-apart", "-o", "jsonpath={.spec.ephemeralContainers[*].targetContainerName}")
    assert sorted(ours.split()) == ["one", "two"]  # made once, used again


def test_a_hostile_process_forges_no_line(podspace: Server) -> None:
    script = "exec sh -c 'sleep 3600; :' \"$(printf 'x\\n1/stat:1 (fake) S 0 1 1\\n\\033[2J')\""
    podspace.apply(pods.pod("plugin-evil", pods.shell("evil", script), pods.shell("good"), shareProcessNamespace=True))
    podspace.wait_ready("plugin-evil")
    text = plugin(podspace, "ps", "plugin-evil")[1]
    assert "\x1b" not in text
    assert "fake) S 0 1 1\\x0a\\x1b[2J" in text
    assert [line.split()[1:3] for line in text.splitlines() if line.startswith("1 ")] == [["-", "/pause"]]


def test_a_cluster_that_forbids_it_is_quoted(podspace: Server) -> None:
    podspace.kubectl("create", "namespace", "strict")
    podspace.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    security = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    held = pods.pod("held", pods.shell("one", securityContext=security))
    podspace.apply(held | {"metadata": {"name": "held", "namespace": "strict"}})
    podspace.kubectl("wait", "--for=condition=Ready", "pod/held", "-n", "strict", "--timeout=60s")
    code, _, complaint = plugin(podspace, "ps", "held", "-n", "strict", check=False)
    assert code == 1
    assert complaint.startswith("error: the cluster forbids the ephemeral container by which to look into pod held: ")
    assert 'violates PodSecurity "restricted' in complaint


def test_a_pod_that_is_over_has_no_processes_and_a_reason(podspace: Server) -> None:
    podspace.apply(pods.pod("plugin-done", pods.shell("one", "true"), restartPolicy="Never"))
    podspace.wait_for("plugin-done", "{.status.phase}=Succeeded")
    assert "nothing of it runs" in plugin(podspace, "ps", "plugin-done", check=False)[2]
    assert "has ended as it should" in plugin(podspace, "why", "plugin-done")[1]

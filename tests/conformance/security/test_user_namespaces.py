"""``hostUsers: false``: root of such a Pod is nobody on the machine, and everything in the Pod is as elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

PATHS = "/empty /config/key /secret/password /host /host/file /memory /etc/hosts /etc/resolv.conf /dev/termination-log /part"
READ = f"stat -c '%n %u:%g' {PATHS}"
WRITE = "touch /empty/new /host/new /memory/new; echo done > /dev/termination-log"
VOLUMES = [
    {"name": "empty", "emptyDir": {}},
    {"name": "memory", "emptyDir": {"medium": "Memory"}},
    {"name": "config", "configMap": {"name": "mapped"}},
    {"name": "secret", "secret": {"secretName": "mapped"}},
]
MOUNTS = [
    {"name": "empty", "mountPath": "/empty"},
    {"name": "empty", "mountPath": "/part", "subPath": "part"},
    {"name": "memory", "mountPath": "/memory"},
    {"name": "config", "mountPath": "/config"},
    {"name": "secret", "mountPath": "/secret", "readOnly": True},
    {"name": "host", "mountPath": "/host"},
]


@pytest.fixture(scope="module")
def mapped(podspace: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    host = tmp_path_factory.mktemp("host")
    (host / "file").write_text("roots\n")
    podspace.kubectl("create", "configmap", "mapped", "--from-literal=key=value")
    podspace.kubectl("create", "secret", "generic", "mapped", "--from-literal=password=hunter2")
    volumes = [*VOLUMES, {"name": "host", "hostPath": {"path": str(host)}}]
    root = box(f"id -u; cat /proc/self/uid_map; {READ}; {WRITE}; exec sleep 7000", "root", volumeMounts=MOUNTS)
    user = box("exec sleep 7000", "user", securityContext={"runAsUser": 1000, "runAsGroup": 2000})
    shared = pod("mapped", root, user, hostUsers=False, shareProcessNamespace=True, volumes=volumes)
    pods.create(podspace, shared, pod("other", box("exec sleep 7000"), hostUsers=False), pod("plain", box("exec sleep 7000")))
    for name in ("mapped", "other", "plain"):
        podspace.wait_ready(name)
    yield podspace
    assert (host / "new").stat().st_uid == 0
    podspace.kubectl("delete", "pod/mapped", "pod/other", "pod/plain", "configmap/mapped", "secret/mapped")


def first_id(server: Server, name: str) -> int:
    uid = server.pod(name)["metadata"]["uid"]
    kept = json.loads((server.paths.pods / uid / "userns").read_text())
    assert kept["uidMappings"] == kept["gidMappings"] == [{"hostId": kept["uidMappings"][0]["hostId"], "containerId": 0, "length": 65536}]
    return int(kept["uidMappings"][0]["hostId"])


def pid_of(server: Server, name: str, container: str, word: str) -> int:
    """The host's number of a container's process."""
    found = json.loads(server.kubectl("get", "--raw", f"/apis/lens.podspace.io/v1/namespaces/default/pods/{name}/processes"))
    return next(
        int(item["pid"]) for item in found["status"]["processes"] if item["container"] == container and word in " ".join(item["argv"])
    )


def test_root_of_the_pod_is_nobody_on_the_machine(mapped: Server) -> None:
    first = first_id(mapped, "mapped")
    assert first % 65536 == 0
    assert first >= 65536
    uid, mapping, *owners = mapped.kubectl("logs", "mapped", "-c", "root").splitlines()
    assert (uid, mapping.split()) == ("0", ["0", str(first), "65536"])
    assert [line for line in owners if not line.endswith(" 0:0")] == []
    assert len(owners) == len(PATHS.split())
    sandbox_owners = {os.stat(f"/proc/{pid}").st_uid for pid in _pids(mapped)}
    assert sandbox_owners == {first, first + 1000}


def _pids(server: Server) -> list[int]:
    """Of the Pod's cgroup, by the host's numbers."""
    uid = server.pod("mapped")["metadata"]["uid"]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"pod{uid}" in (entry / "cgroup").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_every_pod_has_ids_of_its_own_and_gives_them_back(mapped: Server) -> None:
    first, second = first_id(mapped, "mapped"), first_id(mapped, "other")
    assert abs(first - second) >= 65536
    assert mapped.exec("plain", "c", "cat", "/proc/self/uid_map").split() == ["0", "0", "4294967295"]
    mapped.apply(pod("brief", box("exec sleep 7000"), hostUsers=False))
    mapped.wait_ready("brief")
    third = first_id(mapped, "brief")
    mapped.kubectl("delete", "pod", "brief")
    mapped.apply(pod("next", box("exec sleep 7000"), hostUsers=False))
    mapped.wait_ready("next")
    assert first_id(mapped, "next") == third
    mapped.kubectl("delete", "pod", "next")


def test_the_process_namespace_is_shared_inside(mapped: Server) -> None:
    seen = mapped.exec("mapped", "root", "ps", "-o", "pid,user,args")
    assert "/pause" in seen
    assert "sleep 7000" in seen
    assert mapped.exec("mapped", "user", "id").startswith("uid=1000 gid=2000")
    everyone = mapped.exec("mapped", "root", "sh", "-c", "for p in /proc/[0-9]*; do stat -c '%u' $p 2>/dev/null; done | sort -u").split()
    assert set(everyone) == {"0", "1000"}


def test_exec_attach_copy_and_ports(mapped: Server, tmp_path: Path) -> None:
    assert mapped.exec("mapped", "root", "sh", "-c", "echo 0 > /written; stat -c %u /written").strip() == "0"
    assert mapped.kubectl("exec", "-i", "mapped", "-c", "user", "--", "cat", stdin="through\n") == "through\n"
    (tmp_path / "file").write_text("copied\n")
    mapped.kubectl("cp", str(tmp_path / "file"), "mapped:/file", "-c", "root")
    assert mapped.exec("mapped", "root", "stat", "-c", "%u", "/file").strip() == "0"
    mapped.kubectl("debug", "mapped", "--image=busybox:1.28", "-c", "dbg", "--target=root", "--", "cat", "/proc/self/uid_map")
    mapped.wait_for("mapped", "{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=0")
    assert mapped.kubectl("logs", "mapped", "-c", "dbg").split()[1] == str(first_id(mapped, "mapped"))


def test_a_restarted_server_goes_on_with_the_same_ids(registries_conf: Path, root: Path) -> None:
    from tests.support import server

    with server.running(root, registries_conf=registries_conf) as own:
        own.apply(pod("kept", box("exec sleep 7000"), hostUsers=False))
        own.wait_ready("kept")
        before = first_id(own, "kept")
        own.kill()
        own.start()
        assert first_id(own, "kept") == before
        own.apply(pod("later", box("exec sleep 7000"), hostUsers=False))
        own.wait_ready("later")
        assert first_id(own, "later") != before
        assert own.exec("kept", "c", "cat", "/proc/self/uid_map").split()[1] == str(before)


def test_the_network_is_the_pods_own(mapped: Server) -> None:
    """Its namespace belongs to the Pod's user namespace: NET_ADMIN is worth something there, and nothing outside."""
    script = (
        "ip addr add 192.0.2.1/32 dev lo && ip addr show lo | grep -c 192.0.2.1; cat /proc/sys/net/ipv4/ip_unprivileged_port_start;"
        " ip addr show eth0 | grep -c inet; ping -c 1 -W 5 $GATEWAY > /dev/null && echo out"
    )
    gateway = mapped.exec("plain", "c", "sh", "-c", "ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'").strip()
    admin = box(script, env=[{"name": "GATEWAY", "value": gateway}], securityContext={"capabilities": {"add": ["NET_ADMIN"]}})
    mapped.apply(pod("network", admin, hostUsers=False))
    lines = pods.output(mapped, "network")
    assert (lines[0], lines[1], lines[-1]) == ("1", "0", "out")
    assert int(lines[2]) >= 1
    mapped.kubectl("delete", "pod", "network")


def test_a_tracer_never_meets_the_hosts_files(mapped: Server, tmp_path: Path) -> None:
    """In a shared process namespace the OCI runtime is for some milliseconds a process with the host's root, which SYS_PTRACE opens
    (docs/limits.md). In a user namespace it does not: that process is still the host's to trace.
    """
    (tmp_path / "mark").touch()
    look = f"while :; do for p in /proc/[0-9]*; do [ -e $p/root{tmp_path}/mark ] && echo $p >> /found; done; done"
    tracer = box(look, "tracer", securityContext={"capabilities": {"add": ["SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH"]}})
    mapped.apply(pod("spied", tracer, box("exec sleep 7000", "victim"), hostUsers=False, shareProcessNamespace=True))
    mapped.wait_ready("spied")
    for number in range(4):  # each is made by an OCI runtime in the Pod's process namespace
        mapped.kubectl("debug", "spied", "--image=busybox:1.28", "-c", f"new-{number}", "--", "true")
        mapped.wait_for("spied", f'{{.status.ephemeralContainerStatuses[?(@.name=="new-{number}")].state.terminated.exitCode}}=0')
        mapped.exec("spied", "victim", "true")
    assert mapped.exec("spied", "tracer", "sh", "-c", "[ -e /found ] && cat /found; true") == ""
    mapped.kubectl("delete", "pod", "spied")


def test_an_unmasked_proc(mapped: Server) -> None:
    """Only in a user namespace: there the kernel itself keeps root from the machine's own."""
    writes = "echo 5 > /proc/sys/kernel/msg_next_id && echo set; echo 1 > /proc/sys/kernel/panic || echo denied"
    script = f"grep -c ' /proc/' /proc/mounts; {writes}"
    unmasked = box(script, securityContext={"procMount": "Unmasked", "capabilities": {"add": ["SYS_ADMIN"]}})
    mapped.apply(pod("unmasked", unmasked, hostUsers=False))
    lines = pods.output(mapped, "unmasked")
    assert lines[:2] == ["0", "set"]
    assert "denied" in lines[-1] or "ermission denied" in lines[-1]
    mapped.kubectl("delete", "pod", "unmasked")


def test_ids_beyond_the_namespace_and_file_systems_that_cannot_are_told(mapped: Server) -> None:
    far = pod("far", box("true", securityContext={"runAsUser": 70000}), hostUsers=False)
    proc = {"name": "v", "hostPath": {"path": "/proc/sys"}}
    odd = pod("odd", box("true", volumeMounts=[{"name": "v", "mountPath": "/v"}]), hostUsers=False, volumes=[proc])
    pods.create(mapped, far, odd)
    for name, words in (
        ("far", "uid 70000 is not in the Pod's user namespace"),
        ("odd", "cannot be shown with the ids of a user namespace"),
    ):
        mapped.wait_for(name, "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerError")
        assert words in pods.container_status(mapped, name)["state"]["waiting"]["message"]
    mapped.kubectl("delete", "pod/far", "pod/odd", "--force")


def lens(server: Server, what: str, **parameters: str) -> dict[str, Any]:
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    found: dict[str, Any] = json.loads(
        server.kubectl("get", "--raw", f"/apis/lens.podspace.io/v1/namespaces/default/pods/mapped/{what}?{query}")
    )
    return found


def test_the_lens_tells_ids_as_the_pod_has_them(mapped: Server) -> None:
    shown = lens(mapped, "processes")["processes"]
    users = {(item["container"], item["uid"], item["user"]) for item in shown}
    assert {("root", 0, "root"), ("user", 1000, "1000"), ("/pause", 0, "0")} <= users
    mapped.exec("mapped", "root", "sh", "-c", "mkdir -p /etc/own && touch /etc/own/file && chown 33:33 /etc/own/file")
    (entry,) = lens(mapped, "files", container="root", path="/etc/own")["entries"]
    assert (entry["uid"], entry["gid"], entry["user"]) == (33, 33, "www-data")
    changed = {(item["change"], item["path"]) for item in lens(mapped, "changes", container="root")["changes"]}
    assert ("Added", "/etc/own/file") in changed
    assert not {path for change, path in changed if change == "Changed" and path in ("/etc", "/", "/bin")}
    rows = {(row["actor"], row["target"]): row for row in lens(mapped, "audit")["status"]["matrix"]}
    assert {"root", "user"} <= {actor for actor, _ in rows}
    for pair, row in rows.items():
        assert row["tried"] == row["computed"], pair
    assert rows["root", "user"]["computed"]["files"] is False, "root has no SYS_PTRACE"
    assert rows["user", "root"]["computed"]["signal"] is False

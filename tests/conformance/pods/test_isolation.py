"""What a container may do and whom it runs as, read from inside: /proc/self/status, mounts, cgroups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

DEFAULT_CAPS = 0xA80425FB  # containerd's fourteen
NET_ADMIN, CHOWN, SYS_PTRACE = 1 << 12, 1 << 0, 1 << 19
STATUS = "cat /proc/self/status"
TRY = "f() { if $1 2>/dev/null; then echo yes; else echo no; fi; }; "


def secured(name: str, script: str = STATUS, of_pod: pods.Manifest | None = None, **of_container: object) -> pods.Manifest:
    spec = {"securityContext": of_pod} if of_pod else {}
    return pod(name, box(script, securityContext=of_container), **spec)


@pytest.fixture(scope="module", autouse=True)
def everything(node: Server) -> None:
    pods.create(
        node,
        pod("sec-default", box(STATUS)),
        secured("sec-caps", capabilities={"add": ["NET_ADMIN"], "drop": ["CHOWN"]}),
        secured("sec-none", capabilities={"drop": ["ALL"]}),
        secured("sec-only", capabilities={"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
        secured("sec-privileged", f"{STATUS}; mount -t tmpfs x /tmp && echo mounted", privileged=True),
        secured("sec-user", f"id; {STATUS}", {"runAsUser": 33, "runAsGroup": 8, "supplementalGroups": [1234]}, runAsUser=1000),
        secured("sec-nnp", allowPrivilegeEscalation=False),
        secured("sec-unconfined", seccompProfile={"type": "Unconfined"}),
        secured("sec-ro", f"{TRY} f 'touch /x'; f 'touch /dev/shm/x'; f 'touch /v/x'", readOnlyRootFilesystem=True),
        secured("sec-nonroot", runAsNonRoot=True),
        secured("sec-nonroot-0", of_pod={"runAsNonRoot": True}, runAsUser=0),
        secured("sec-nonroot-ok", "id -u", {"runAsNonRoot": True, "runAsUser": 1000}),
        pod("sec-image-user", {"name": "c", "image": "podspace-test/user", "command": ["id"], "securityContext": {"runAsNonRoot": True}}),
        secured("sec-proc", PROC),
        secured("sec-sysctl", "cat /proc/sys/net/ipv4/tcp_fin_timeout", {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": "7"}]}),
        secured("sec-unsafe", of_pod={"sysctls": [{"name": "kernel.msgmax", "value": "7"}]}),
        pod("oom", box("x=$(head -c 64m /dev/zero | tr '\\0' x); echo alive", resources={"limits": {"memory": "16Mi"}})),
        pod("limits", box("exec sleep 7200", resources={"limits": {"cpu": "250m", "memory": "32Mi"}})),
        pod("host-pid", box("cat /proc/1/comm; ls /proc 2>/dev/null | grep -c '^[0-9]'"), hostPID=True),
        pod("host-ipc", box("readlink /proc/self/ns/ipc"), hostIPC=True),
        pod("own-ns", box("readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid; echo $$$$")),
    )  # fmt: skip


PROC = f"""{TRY}
for p in /proc/kcore /proc/keys /proc/timer_list; do [ -e $p ] && echo $p $(head -c 10 $p | wc -c); done
for p in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_seqnum; do
  f "touch $p"; done
f "mkdir $(ls -d /sys/fs/cgroup/memory 2>/dev/null || echo /sys/fs/cgroup)/x"
grep -c ' /sys sysfs ro' /proc/mounts
"""


def status_of(node: Server, name: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in pods.output(node, name) if ":\t" in line)


def capabilities(node: Server, name: str) -> int:
    found = status_of(node, name)
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"]
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    return int(found["CapEff"], 16)


def test_capabilities(node: Server) -> None:
    assert capabilities(node, "sec-default") == DEFAULT_CAPS
    assert capabilities(node, "sec-caps") == DEFAULT_CAPS & ~CHOWN | NET_ADMIN
    assert capabilities(node, "sec-none") == 0
    assert capabilities(node, "sec-only") == SYS_PTRACE


def test_privileged_means_all_this_machine_can_give(node: Server) -> None:
    own = next(int(line.split()[1], 16) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    assert capabilities(node, "sec-privileged") == own
    assert pods.output(node, "sec-privileged")[-1] == "mounted"
    assert status_of(node, "sec-privileged")["Seccomp"] == "0"


def test_users_and_groups(node: Server) -> None:
    lines = pods.output(node, "sec-user")
    assert lines[0].startswith("uid=1000 gid=8(mail) groups=8(mail),1234")
    assert status_of(node, "sec-user")["CapEff"] == "0000000000000000"
    user = pods.container_status(node, "sec-user")["user"]["linux"]
    assert user == {"uid": 1000, "gid": 8, "supplementalGroups": [8, 1234]}


def test_seccomp_and_no_new_privileges(node: Server) -> None:
    plain = status_of(node, "sec-default")
    assert (plain["NoNewPrivs"], plain["Seccomp"]) == ("0", "2")
    assert status_of(node, "sec-nnp")["NoNewPrivs"] == "1"
    assert status_of(node, "sec-unconfined")["Seccomp"] == "0"


def test_a_read_only_root(node: Server) -> None:
    assert pods.output(node, "sec-ro") == ["no", "yes", "no"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sec-nonroot", "container has runAsNonRoot and image will run as root"),
        ("sec-nonroot-0", "container's runAsUser breaks non-root policy"),
    ],
)
def test_non_root(node: Server, name: str, words: str) -> None:
    node.wait_for(name, "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    uid = node.pod(name)["metadata"]["uid"]
    message = f'{words} (pod: "{name}_default({uid})", container: c)'
    assert pods.container_status(node, name)["state"]["waiting"]["message"] == message
    assert ("Failed", f"Error: {message}") in pods.told(node, name)
    assert pods.output(node, "sec-nonroot-ok") == ["1000"]
    assert pods.output(node, "sec-image-user")[0].startswith("uid=1000")


def test_parts_of_proc_and_sys_are_masked_or_read_only(node: Server) -> None:
    lines = pods.output(node, "sec-proc")
    masked = [line for line in lines if line.startswith("/proc")]
    assert masked
    assert all(line.endswith(" 0") for line in masked)
    assert lines[len(masked) :] == ["no", "no", "no", "no", "1"]


def test_sysctls(node: Server) -> None:
    assert pods.output(node, "sec-sysctl") == ["7"]
    node.wait_for("sec-unsafe", "{.status.reason}=SysctlForbidden")
    assert node.pod("sec-unsafe")["status"]["phase"] == "Failed"
    assert ("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted') in pods.told(node, "sec-unsafe")


def test_out_of_memory(node: Server) -> None:
    node.wait_for("oom", "{.status.phase}=Failed")
    ended = pods.container_status(node, "oom")["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_limits_are_the_kernels_and_each_pod_has_its_cgroup(node: Server) -> None:
    node.wait_ready("limits")
    found = node.pod("limits")
    status = found["status"]["containerStatuses"][0]
    assert status["allocatedResources"] == {"cpu": "250m", "memory": "32Mi"}
    assert status["resources"] == {"limits": {"cpu": "250m", "memory": "32Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    assert found["status"]["qosClass"] == "Guaranteed"
    groups = node.exec("limits", "c", "cat", "/proc/self/cgroup").splitlines()
    identifier = status["containerID"].removeprefix("podspace://")
    lines = [line.partition(":")[2] for line in groups if "memory" in line.split(":")[1].split(",") or line.startswith("0::/pod")]
    assert any(f"/pod{found['metadata']['uid']}/{identifier}" in line for line in lines), groups
    memory = Path("/sys/fs/cgroup/memory")
    if memory.is_dir():
        group = lines[0].partition(":")[2].lstrip("/")
        assert (memory / group / "memory.limit_in_bytes").read_text() == f"{32 << 20}\n"
        assert (Path("/sys/fs/cgroup/cpu") / group / "cpu.cfs_quota_us").read_text() == "25000\n"


def test_namespaces_of_the_host(node: Server) -> None:
    comm, count = pods.output(node, "host-pid")
    assert comm == Path("/proc/1/comm").read_text().strip()
    assert int(count) > 10
    assert pods.output(node, "host-ipc") == [os.readlink("/proc/self/ns/ipc")]
    ipc, pid, own = pods.output(node, "own-ns")
    assert ipc != os.readlink("/proc/self/ns/ipc")
    assert pid != os.readlink("/proc/self/ns/pid")
    assert own == "1"

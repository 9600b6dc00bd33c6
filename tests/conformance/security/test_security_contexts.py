"""What a securityContext asks beyond what test_isolation has: profiles of one's own, unsafe sysctls, groups, read-only to the bottom."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace.linux import apparmor, mounts
from tests.support import pods, server
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

NO_MKDIR = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 39}]}


@pytest.fixture(scope="module")
def strict(module_root: Path, registries_conf: Path) -> Iterator[Server]:
    profiles = module_root / "profiles"
    (profiles / "audits").mkdir(parents=True)
    (profiles / "audits" / "no-mkdir.json").write_text(json.dumps(NO_MKDIR))
    (profiles / "broken.json").write_text("{")
    flags = ["--allowed-unsafe-sysctls=kernel.msgmax,net.ipv4.conf.*", f"--seccomp-profile-root={profiles}"]
    with server.running(module_root, registries_conf=registries_conf, flags=flags) as running:
        yield running


def localhost(path: str) -> dict[str, object]:
    return {"seccompProfile": {"type": "Localhost", "localhostProfile": path}}


def test_a_seccomp_profile_of_ones_own(strict: Server) -> None:
    script = "mkdir /x 2>&1; echo $?; touch /y && echo touched"
    of_pod = pod("profile", box(script), box(script, "free", securityContext={"seccompProfile": {"type": "Unconfined"}}))
    of_pod["spec"]["securityContext"] = localhost("audits/no-mkdir.json")
    pods.create(strict, of_pod, pod("absent", box("true", securityContext=localhost("absent.json"))))
    pods.create(strict, pod("broken", box("true", securityContext=localhost("broken.json"))))
    assert set(pods.output(strict, "profile")) == {"mkdir: can't create directory '/x': Directory not empty", "1", "touched"}
    assert pods.output(strict, "profile", "free") == ["0", "touched"]
    for name in ("absent", "broken"):
        strict.wait_for(name, "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerError")
        message = pods.container_status(strict, name)["state"]["waiting"]["message"]
        assert "cannot load seccomp profile" in message
        assert f"profiles/{name}.json" in message


def sysctls(**values: str) -> dict[str, object]:
    return {"sysctls": [{"name": name, "value": value} for name, value in values.items()]}


def test_unsafe_sysctls_that_are_allowed(strict: Server) -> None:
    names = {"kernel.msgmax": "4000", "net/ipv4/conf/lo/forwarding": "0", "net.ipv4.tcp_fin_timeout": "9"}
    read = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/conf/lo/forwarding /proc/sys/net/ipv4/tcp_fin_timeout"
    pods.create(
        strict,
        pod("allowed", box(read), securityContext=sysctls(**names)),
        pod("other", box("true"), securityContext=sysctls(**{"net.core.somaxconn": "9"})),
        pod("machines", box("true"), securityContext=sysctls(**{"kernel.panic": "9"})),
    )
    assert pods.output(strict, "allowed") == ["4000", "0", "9"]
    for name, sysctl in (("other", "net.core.somaxconn"), ("machines", "kernel.panic")):
        strict.wait_for(name, "{.status.reason}=SysctlForbidden")
        assert strict.pod(name)["status"]["phase"] == "Failed"
        assert ("SysctlForbidden", f'forbidden sysctl: "{sysctl}" not allowlisted') in pods.told(strict, name)


def test_a_server_that_would_allow_what_is_the_machines_does_not_start(root: Path, registries_conf: Path) -> None:
    done = Server(root=root, port=server.free_port(), registries_conf=registries_conf, flags=["--allowed-unsafe-sysctls=kernel.panic"])
    with pytest.raises(AssertionError, match=r'the sysctls "kernel.panic" are not known to be namespaced'):
        done.start()


def test_apparmor_is_applied_or_refused_in_a_kubelets_words(strict: Server) -> None:
    confined = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "podspace-absent"}}
    free = {"appArmorProfile": {"type": "Unconfined"}}
    pods.create(strict, pod("confined", box("true", securityContext=confined)), pod("free", box("echo ran"), securityContext=free))
    assert pods.output(strict, "free") == ["ran"]
    if apparmor.is_enabled():
        strict.wait_for("confined", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerError")
        assert '"podspace-absent" is not loaded' in pods.container_status(strict, "confined")["state"]["waiting"]["message"]
        return
    strict.wait_for("confined", "{.status.reason}=AppArmor")
    assert strict.pod("confined")["status"]["phase"] == "Failed"
    assert strict.pod("confined")["status"]["message"] == "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"


def test_read_only_to_the_bottom(strict: Server, tmp_path: Path) -> None:
    """recursiveReadOnly: what is mounted below a read-only mount is writable without it."""
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", str(below)], check=True)
    try:
        volume = {"name": "v", "hostPath": {"path": str(tmp_path)}}
        mounts = [
            {"name": "v", "mountPath": "/plain", "readOnly": True},
            {"name": "v", "mountPath": "/all", "readOnly": True, "recursiveReadOnly": "Enabled"},
            {"name": "v", "mountPath": "/possible", "readOnly": True, "recursiveReadOnly": "IfPossible"},
        ]
        script = "for d in plain all possible; do touch /$d/x 2>/dev/null; echo $?; touch /$d/below/x 2>/dev/null; echo $?; done"
        for name, fields in (("bottom", {}), ("mapped-bottom", {"hostUsers": False})):
            strict.apply(pod(name, box(script, volumeMounts=mounts), volumes=[volume], **fields))
            assert pods.output(strict, name) == ["1", "0", "1", "1", "1", "1"]
            told = {item["mountPath"]: item["recursiveReadOnly"] for item in pods.container_status(strict, name)["volumeMounts"]}
            assert told == {"/plain": "Disabled", "/all": "Enabled", "/possible": "Enabled"}
            strict.kubectl("delete", "pod", name)
    finally:
        subprocess.run(["umount", "-l", str(below)], check=True)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A mount of the host that has peers."""
    (tmp_path / "later").mkdir()
    (tmp_path / "inner").mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path), str(tmp_path)], check=True)
    for kind in ("--make-private", "--make-shared"):  # of its own, where everything is shared already
        subprocess.run(["mount", kind, str(tmp_path)], check=True)
    yield tmp_path
    for target in mounts.below(tmp_path):
        subprocess.run(["umount", "-l", target], check=True)


def test_mounts_are_seen_where_they_should_be(strict: Server, shared: Path) -> None:
    volume = {"name": "v", "hostPath": {"path": str(shared)}}
    wait = "until [ -e /data/go ]; do sleep 0.1; done; ls /data/later /data/inner"

    def sees(name: str, propagation: str, script: str = wait, **security: object) -> dict[str, object]:
        mount = {"name": "v", "mountPath": "/data", "mountPropagation": propagation}
        return box(script, name, volumeMounts=[mount], securityContext=security)

    giver = "until [ -e /data/all ]; do sleep 0.1; done; mount -t tmpfs none /data/inner && touch /data/inner/given && exec sleep 7000"
    containers = [sees("none", "None"), sees("slave", "HostToContainer"), sees("giver", "Bidirectional", giver, privileged=True)]
    strict.apply(pod("propagation", *containers, volumes=[volume]))
    strict.apply(pod("mapped-propagation", sees("slave", "HostToContainer"), volumes=[volume], hostUsers=False))
    for name in ("propagation", "mapped-propagation"):
        strict.wait_ready(name)
    (shared / "all").touch()
    subprocess.run(["mount", "-t", "tmpfs", "later", str(shared / "later")], check=True)
    (shared / "later" / "seen").touch()
    deadline = time.monotonic() + 30
    while not (shared / "inner" / "given").exists():  # nobody tells of another's mounts
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (shared / "go").touch()
    for name, container, wanted in (
        ("propagation", "none", set()),
        ("propagation", "slave", {"seen", "given"}),
        ("mapped-propagation", "slave", {"seen", "given"}),
    ):
        field = f'{{.status.containerStatuses[?(@.name=="{container}")].state.terminated.reason}}'
        strict.wait_for(name, f"{field}=Completed")
        found = set(strict.kubectl("logs", name, "-c", container).split())
        assert found & {"seen", "given"} == wanted, (name, container)
    strict.kubectl("delete", "pod/propagation", "pod/mapped-propagation")
    assert (shared / "later" / "seen").exists(), "what goes with a Pod is the Pod's"


def test_the_host_may_unmount_what_a_pod_in_a_user_namespace_has(strict: Server, shared: Path) -> None:
    """A kubelet unmounts volumes while dead containers are still there: the server must hold nothing of them."""
    subprocess.run(["mount", "-t", "tmpfs", "later", str(shared / "later")], check=True)
    volume = {"name": "v", "hostPath": {"path": str(shared)}}
    strict.apply(
        pod("holder", box("exec sleep 7000", volumeMounts=[{"name": "v", "mountPath": "/data"}]), volumes=[volume], hostUsers=False)
    )
    strict.wait_ready("holder")
    strict.exec("holder", "c", "touch", "/data/later/seen")
    assert [target for target in mounts.below(strict.paths.run) if "/mapped/" in target] == []
    subprocess.run(["umount", str(shared / "later")], check=True)
    (shared / "later").rmdir()
    strict.kubectl("delete", "pod", "holder")
    assert (shared / "inner").exists()


def test_what_is_not_shared_cannot_be_handed_on(strict: Server, shared: Path) -> None:
    subprocess.run(["mount", "--make-private", str(shared)], check=True)
    volume = {"name": "v", "hostPath": {"path": str(shared)}}
    mount = {"name": "v", "mountPath": "/data", "mountPropagation": "HostToContainer"}
    strict.apply(pod("alone", box("true", volumeMounts=[mount]), volumes=[volume]))
    strict.wait_for("alone", "{.status.containerStatuses[0].state.waiting.reason}=CreateContainerError")
    message = pods.container_status(strict, "alone")["state"]["waiting"]["message"]
    assert f'path "{shared}" is mounted on "{shared}" but it is not a shared or slave mount' in message
    strict.kubectl("delete", "pod", "alone", "--force")


def test_the_node_says_what_it_can(strict: Server) -> None:
    (node,) = json.loads(strict.kubectl("get", "nodes", "-o", "json"))["items"]
    assert node["status"]["runtimeHandlers"] == [{"name": "", "features": {"recursiveReadOnlyMounts": True, "userNamespaces": True}}]
    assert node["status"]["features"] == {"supplementalGroupsPolicy": True}

"""What a container may do and see, as the CRI asks for it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri

pytestmark = pytest.mark.root
SLEEP = ["sleep", "1000"]


class Scene:
    """One sandbox for many containers."""

    def __init__(self, machine: cri.Machine) -> None:
        self._machine = machine
        self.image = machine.client.pull("busybox:1.28")
        self.config = cri.sandbox_config("many", machine.logs, privileged=True)
        self.sandbox = machine.client.run_sandbox(self.config)
        self._count = 0

    @property
    def client(self) -> cri.Client:
        """A server that is restarted has a new one."""
        return self._machine.client

    def message(self, command: Sequence[str] = SLEEP, **fields: Any) -> pb.ContainerConfig:
        self._count += 1
        return cri.container_config(f"c{self._count}", self.image, self.config, command=command, **fields)

    def run(self, command: Sequence[str] = SLEEP, **fields: Any) -> str:
        return self.client.run(self.sandbox, self.config, self.message(command, **fields))

    def create(self, **fields: Any) -> str:
        return self.client.create(self.sandbox, self.config, self.message(**fields))

    def output(self, argv: Sequence[str], **fields: Any) -> str:
        container = self.run(**fields)
        try:
            return self.client.output(container, *argv)
        finally:
            self.client.stop(container, grace=0)


@pytest.fixture(scope="module")
def scene(machine: cri.Machine) -> Scene:
    return Scene(machine)


def test_who_the_container_runs_as(scene: Scene) -> None:
    user = {"run_as_user": pb.Int64Value(value=1001), "run_as_group": pb.Int64Value(value=1002), "supplemental_groups": [1234, 5678]}
    container = scene.run(security=user)
    assert scene.client.output(container, "id", "-u").strip() == "1001"
    assert set(scene.client.output(container, "id", "-G").split()) == {"1002", "1234", "5678"}
    told = scene.client.status(container).user.linux
    assert (told.uid, told.gid, list(told.supplemental_groups)) == (1001, 1002, [1002, 1234, 5678])


def test_capabilities(scene: Scene) -> None:
    def bounding(**wanted: Any) -> int:
        line = scene.output(["grep", "CapBnd", "/proc/self/status"], security={"capabilities": pb.Capability(**wanted)})
        return int(line.split()[1], 16)

    assert bounding(drop_capabilities=["ALL"]) == 0
    assert bounding(add_capabilities=["NET_ADMIN"]) & 1 << 12
    assert not bounding() & 1 << 12
    assert bounding(add_capabilities=["ALL"]) & 1 << 21


def test_read_only_roots_and_masked_paths(scene: Scene) -> None:
    container = scene.run(security={"readonly_rootfs": True, "masked_paths": ["/etc/passwd"], "readonly_paths": ["/tmp"]})
    for path in ("/x", "/tmp/x"):
        assert "Read-only file system" in scene.client.exec(container, "touch", path).stderr.decode()
    assert scene.client.output(container, "cat", "/etc/passwd") == ""


@pytest.mark.parametrize(("profile", "field"), [(pb.SecurityProfile.Unconfined, "0"), (pb.SecurityProfile.RuntimeDefault, "2")])
def test_seccomp(profile: pb.SecurityProfile.ProfileType.ValueType, field: str, scene: Scene) -> None:
    line = scene.output(["grep", "Seccomp:", "/proc/self/status"], security={"seccomp": pb.SecurityProfile(profile_type=profile)})
    assert line.split()[1] == field


def test_a_seccomp_profile_of_ones_own(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(
        json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]})
    )
    container = scene.run(security={"seccomp": pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref=str(path))})
    assert "Operation not permitted" in scene.client.exec(container, "chmod", "400", "/tmp").stderr.decode()


def test_mounts(scene: Scene, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("here")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mounts = [
        pb.Mount(container_path="/link", host_path=str(tmp_path / "link")),
        pb.Mount(container_path="/ro", host_path=str(tmp_path / "real"), readonly=True),
        pb.Mount(container_path="/rro", host_path=str(tmp_path / "real"), readonly=True, recursive_read_only=True),
        pb.Mount(container_path="/made", host_path=str(tmp_path / "missing/folder"), selinux_relabel=True),
    ]
    container = scene.run(mounts=mounts)
    assert scene.client.output(container, "cat", "/link/file") == "here"
    for folder in ("/ro", "/rro"):
        assert "Read-only file system" in scene.client.exec(container, "touch", f"{folder}/x").stderr.decode()
    scene.client.output(container, "touch", "/made/x")
    assert (tmp_path / "missing/folder/x").exists()
    assert [mount.container_path for mount in scene.client.status(container).mounts] == ["/link", "/ro", "/rro", "/made"]


def test_what_is_mounted_in_a_volume_can_be_taken_away_while_it_is_used(scene: Scene, tmp_path: Path) -> None:
    """critest takes a read-only volume's tmpfs away under a running container, and removes its folder."""
    tmp_path.chmod(0o755)
    inner = tmp_path / "real/inner"
    inner.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "inner", str(inner)], check=True)
    try:
        mount = pb.Mount(container_path="/rro", host_path=str(tmp_path / "real"), readonly=True, recursive_read_only=True)
        container = scene.run(mounts=[mount])
        assert "Read-only file system" in scene.client.exec(container, "touch", "/rro/inner/x").stderr.decode()
    finally:
        subprocess.run(["umount", str(inner)], check=True)
    inner.rmdir()


def test_a_mount_of_the_host_shows_in_a_container_that_asked_for_it(scene: Scene, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "outer", str(source)], check=True)
    subprocess.run(["mount", "--make-rshared", str(source)], check=True)
    (source / "below").mkdir()
    try:
        slave, private = (
            scene.run(mounts=[pb.Mount(container_path="/data", host_path=str(source), propagation=propagation)])
            for propagation in (pb.PROPAGATION_HOST_TO_CONTAINER, pb.PROPAGATION_PRIVATE)
        )
        subprocess.run(["mount", "-t", "tmpfs", "inner", str(source / "below")], check=True)
        (source / "below/file").touch()
        assert scene.client.output(slave, "ls", "/data/below") == "file\n"
        assert scene.client.output(private, "ls", "/data/below") == ""
        for container in (slave, private):
            scene.client.stop(container, grace=0)
            scene.client.remove(container)
    finally:
        subprocess.run(["umount", "-R", str(source)], check=True)


def test_a_mount_made_in_a_container_shows_on_the_host_when_asked_for(scene: Scene, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "outer", str(tmp_path)], check=True)
    subprocess.run(["mount", "--make-rshared", str(tmp_path)], check=True)
    (tmp_path / "below").mkdir()
    try:
        mount = pb.Mount(container_path="/data", host_path=str(tmp_path), propagation=pb.PROPAGATION_BIDIRECTIONAL)
        container = scene.run(mounts=[mount], security={"privileged": True})
        scene.client.output(container, "mount", "-t", "tmpfs", "inner", "/data/below")
        assert (tmp_path / "below").is_mount()
        assert scene.client.status(container).mounts[0].propagation == pb.PROPAGATION_BIDIRECTIONAL
        scene.client.stop(container, grace=0)
        scene.client.remove(container)
    finally:
        subprocess.run(["umount", "-R", str(tmp_path)], check=True)


def test_memory_runs_out(scene: Scene) -> None:
    limit = pb.LinuxContainerResources(memory_limit_in_bytes=15 << 20, memory_swap_limit_in_bytes=15 << 20)
    container = scene.run(["sh", "-c", "sleep 0.1; exec dd if=/dev/zero of=/dev/null bs=64M"], resources=limit)
    wait_exited(scene.client, container)
    status = scene.client.status(container)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)


def wait_exited(client: cri.Client, container: str) -> None:
    """Attach ends with the container; what it says is of no interest. By events, not by asking again and again."""
    events = client.runtime.GetContainerEvents(pb.GetEventsRequest(), timeout=30)
    client.sandboxes()
    if client.status(container).state != pb.CONTAINER_EXITED:
        next(event for event in events if event.container_id == container and event.container_event_type == pb.CONTAINER_STOPPED_EVENT)
    events.cancel()


def test_the_hosts_namespaces(machine: cri.Machine) -> None:
    client = machine.client
    options = {"pid": pb.NODE, "network": pb.NODE, "ipc": pb.NODE}
    config = cri.sandbox_config("hosts", machine.logs, options=options)
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=SLEEP))
    for namespace in ("pid", "net", "ipc", "uts"):
        assert client.output(container, "readlink", f"/proc/self/ns/{namespace}").strip() == str(
            Path(f"/proc/self/ns/{namespace}").readlink()
        )
    assert not client.sandbox_status(sandbox).HasField("network")


def test_a_container_joins_anothers_process_namespace(scene: Scene) -> None:
    target = scene.run(["sleep", "4321"])
    options = pb.NamespaceOption(pid=pb.TARGET, target_id=target)
    assert "sleep 4321" in scene.output(["ps", "ax"], security={"namespace_options": options})


def test_sysctls_and_dns_of_the_sandbox(machine: cri.Machine) -> None:
    client = machine.client
    config = cri.sandbox_config(
        "sysctls",
        machine.logs,
        linux=pb.LinuxPodSandboxConfig(sysctls={"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "100"}),
        dns_config=pb.DNSConfig(servers=["10.0.0.10"], searches=["svc.local"], options=["ndots:5"]),
    )
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=SLEEP))
    assert client.output(container, "cat", "/proc/sys/kernel/shm_rmid_forced") == "1\n"
    assert client.output(container, "cat", "/proc/sys/fs/mqueue/msg_max") == "100\n"
    assert client.output(container, "cat", "/etc/resolv.conf") == "search svc.local\nnameserver 10.0.0.10\noptions ndots:5\n"


def test_a_cgroup_of_the_kubelets_stays_the_kubelets(machine: cri.Machine) -> None:
    client = machine.client
    parent = f"/podspace-{machine.server.paths.instance}-kubepods"
    folder = Path("/sys/fs/cgroup/memory") / parent[1:]
    if not folder.parent.is_dir():
        pytest.skip("needs cgroup v1")
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(100 << 20))
    try:
        config = cri.sandbox_config("parent", machine.logs, linux=pb.LinuxPodSandboxConfig(cgroup_parent=parent))
        sandbox = client.run_sandbox(config)
        container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=SLEEP))
        assert (folder / container / "cgroup.procs").read_text()
        client.stop_sandbox(sandbox)
        client.remove_sandbox(sandbox)
        assert (folder / "memory.limit_in_bytes").read_text().strip() == str(100 << 20)
        assert not (folder / container).exists()
    finally:
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            if (hierarchy / parent[1:]).is_dir():
                (hierarchy / parent[1:]).rmdir()


def test_what_cannot_be_done_is_refused_with_its_name(scene: Scene) -> None:
    with pytest.raises(grpc.RpcError, match=r"apparmor is not supported|is not loaded"):
        scene.create(security={"apparmor_profile": "localhost/none"})


def test_an_image_is_mounted_read_only_and_stays_while_it_is(scene: Scene, machine: cri.Machine) -> None:
    other = scene.client.pull("busybox:1.36")
    whole = pb.Mount(container_path="/image", image=pb.ImageSpec(image="busybox:1.36"), readonly=True)
    part = pb.Mount(container_path="/part", image=pb.ImageSpec(image=other), image_sub_path="etc", readonly=True)
    container = scene.run(mounts=[whole, part])
    assert "passwd" in scene.client.output(container, "ls", "/image/etc").split()
    assert scene.client.output(container, "cat", "/part/passwd") == scene.client.output(container, "cat", "/image/etc/passwd")
    assert scene.client.exec(container, "touch", "/image/x").exit_code != 0
    told = {item.container_path: item for item in scene.client.status(container).mounts}
    assert (told["/image"].image.image, told["/image"].host_path, told["/image"].readonly) == ("busybox:1.36", "", True)
    assert told["/part"].image_sub_path == "etc"
    with pytest.raises(grpc.RpcError) as refused:
        scene.client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=other)), timeout=cri.SECONDS)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    scene.client.stop(container, grace=0)
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"readonly": False}, "readonly must be true"),
        ({"host_path": "/tmp"}, "host_path must be empty"),
        ({"image_sub_path": "absent"}, 'subpath "absent"'),
        ({"image": pb.ImageSpec(image="absent")}, 'image "absent" is not present'),
    ]
    for fields, words in wrongs:
        usual: dict[str, Any] = {"container_path": "/image", "image": pb.ImageSpec(image=other), "readonly": True}
        wrong = pb.Mount(**(usual | fields))
        with pytest.raises(grpc.RpcError) as refused:
            scene.create(mounts=[wrong])
        assert words in str(refused.value.details())


def test_a_pod_in_a_user_namespace(machine: cri.Machine, tmp_path: Path) -> None:
    """As a kubelet asks for it: the same mapping for the sandbox, its containers and their mounts."""
    client = machine.client
    status = client.runtime.Status(pb.StatusRequest(verbose=True))
    assert json.loads(status.info["config"])["userNamespaces"] == "yes"
    (handler,) = status.runtime_handlers
    assert handler.features.user_namespaces
    assert handler.features.recursive_read_only_mounts
    mapping = [pb.IDMapping(host_id=65536 * 9, length=65536)]
    userns = pb.UserNamespace(mode=pb.POD, uids=mapping, gids=mapping)
    config = cri.sandbox_config("mapped", machine.logs, options={"pid": pb.POD, "userns_options": userns})
    sandbox = client.run_sandbox(config)
    assert client.sandbox_status(sandbox).linux.namespaces.options.userns_options == userns
    (tmp_path / "file").touch()
    mounts = [
        pb.Mount(container_path="/data", host_path=str(tmp_path), uidMappings=mapping, gidMappings=mapping),
        pb.Mount(
            container_path="/image", image=pb.ImageSpec(image="busybox:1.28"), readonly=True, uidMappings=mapping, gidMappings=mapping
        ),
    ]
    image = client.pull("busybox:1.28")
    container = client.run(sandbox, config, cri.container_config("one", image, config, command=SLEEP, mounts=mounts))
    assert client.output(container, "cat", "/proc/self/uid_map").split() == ["0", str(65536 * 9), "65536"]
    assert client.output(container, "stat", "-c", "%u:%g", "/data/file", "/image/etc/passwd", "/etc/passwd").split() == ["0:0"] * 3
    client.output(container, "touch", "/data/new")
    assert (tmp_path / "new").stat().st_uid == 0
    machine.restart(kill=True)
    client = machine.client
    assert client.output(container, "id", "-u").strip() == "0"
    later = client.run(sandbox, config, cri.container_config("two", image, config, command=SLEEP, mounts=mounts))
    assert client.output(later, "stat", "-c", "%u", "/data/new").strip() == "0"
    plain = cri.container_config("three", image, cri.sandbox_config("other", machine.logs, options={"pid": pb.POD}), command=SLEEP)
    with pytest.raises(grpc.RpcError, match="that of its sandbox"):
        client.create(sandbox, config, plain)
    client.remove_sandbox(sandbox)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Path]:
    """A file as a vendor's tool writes it, for the length of a test."""
    folder = Path("/var/run/cdi")
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    file = folder / f"podspace-test-{tmp_path.name}.yaml"
    mark = tmp_path / "hook-ran"
    shared = {"hostPath": str(tmp_path), "containerPath": "/opt/vendor", "options": ["ro", "rbind"]}
    edits = {
        "env": ["VENDOR=here"],
        "deviceNodes": [{"path": "/dev/vendor0", "hostPath": "/dev/kmsg", "permissions": "w"}],
        "mounts": [shared],
        "hooks": [{"hookName": "createRuntime", "path": "/bin/touch", "args": ["touch", str(mark)]}],
    }
    device = {"name": "0", "containerEdits": edits}
    file.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": "podspace.test/thing", "devices": [device]}))  # JSON is YAML
    yield tmp_path
    file.unlink()
    if made:
        folder.rmdir()


def test_devices_by_name(scene: Scene, vendor: Path) -> None:
    (vendor / "file").write_text("of the vendor\n")
    name = "podspace.test/thing=0"
    ways: list[dict[str, Any]] = [{"CDI_devices": [pb.CDIDevice(name=name)]}, {"annotations": {"cdi.k8s.io/plugin": name}}]
    for fields in ways:
        message = scene.message()
        message.MergeFrom(pb.ContainerConfig(**fields))
        container = scene.client.run(scene.sandbox, scene.config, message)
        assert scene.client.output(container, "sh", "-c", "echo $VENDOR; cat /opt/vendor/file; : > /dev/vendor0") == "here\nof the vendor\n"
        assert scene.client.exec(container, "sh", "-c", ": < /dev/vendor0").exit_code != 0
        assert (vendor / "hook-ran").exists()
        (vendor / "hook-ran").unlink()
        scene.client.stop(container, grace=0)
    with pytest.raises(grpc.RpcError, match=r"unresolvable CDI devices podspace\.test/thing=absent"):
        scene.create(CDI_devices=[pb.CDIDevice(name="podspace.test/thing=absent")])


def test_a_folder_of_devices_stands_for_all_in_it(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    os.mknod(tmp_path / "one", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(tmp_path / "below" / "two", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    container = scene.run(devices=[pb.Device(host_path=str(tmp_path), container_path="/dev/group", permissions="rw")])
    assert scene.client.output(
        container, "sh", "-c", "head -c 2 /dev/group/below/two | wc -c; echo x > /dev/group/one; ls /dev/group"
    ).split() == [
        "2",
        "below",
        "one",
    ]


def test_capabilities_another_user_keeps(scene: Scene) -> None:
    """Without ambient ones a user who is not root has none, whatever is added; as with containerd."""
    user = {"run_as_user": pb.Int64Value(value=1000)}
    for field, wanted in (("add_capabilities", "0000000000000000"), ("add_ambient_capabilities", "0000000000000400")):
        capabilities = pb.Capability(**{field: ["NET_BIND_SERVICE"]}, drop_capabilities=["ALL"])
        container = scene.run(security={**user, "capabilities": capabilities})
        status = dict(line.split(":\t", 1) for line in scene.client.output(container, "cat", "/proc/self/status").splitlines())
        assert {status[key].strip() for key in ("CapEff", "CapPrm", "CapAmb", "CapInh")} == {wanted}, field
    with pytest.raises(grpc.RpcError, match='unknown capability "CAP_NO_SUCH" to add'):
        scene.create(security={"capabilities": pb.Capability(add_capabilities=["NO_SUCH"])})


def test_a_sandbox_that_is_not_privileged_takes_no_privileged_container(machine: cri.Machine) -> None:
    config = cri.sandbox_config("plain", machine.logs)
    sandbox = machine.client.run_sandbox(config)
    wanted = cri.container_config("one", machine.client.pull("busybox:1.28"), config, command=SLEEP, security={"privileged": True})
    with pytest.raises(grpc.RpcError, match="no privileged container allowed in sandbox"):
        machine.client.create(sandbox, config, wanted)
    machine.client.remove_sandbox(sandbox)


def test_the_sandboxes_own_process_is_who_it_should_be(machine: cri.Machine) -> None:
    config = cri.sandbox_config("who", machine.logs, options={"pid": pb.POD})
    security = config.linux.security_context
    security.run_as_user.value, security.run_as_group.value = 1000, 2000
    security.supplemental_groups.extend([3000])
    security.seccomp.profile_type = pb.SecurityProfile.Unconfined
    sandbox = machine.client.run_sandbox(config)
    container = machine.client.run(sandbox, config, cri.container_config("one", machine.client.pull("busybox:1.28"), config, command=SLEEP))
    status = dict(line.split(":\t", 1) for line in machine.client.output(container, "cat", "/proc/1/status").splitlines())
    assert (status["Uid"].split()[0], status["Gid"].split()[0], status["Groups"].strip()) == ("1000", "2000", "3000")
    assert (status["Seccomp"], status["CapBnd"]) == ("0", "0000000000000000")
    machine.client.remove_sandbox(sandbox)

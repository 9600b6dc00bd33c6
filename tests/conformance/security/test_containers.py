"""What a container that means harm finds: nothing of the server, and nothing that outlives it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import pods
from tests.support.server import Server

pytestmark = pytest.mark.root

DEEP = "cd /scratch; i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; touch /scratch/done; exec sleep 7000"


def container(name: str, *command: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox:1.28", "command": list(command or ("sleep", "7000"))} | fields


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    base = {"terminationGracePeriodSeconds": 0, "containers": list(containers)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": base | spec}


@pytest.fixture(scope="module")
def shared(podspace: Server) -> Iterator[Server]:
    """One neighbour may trace, one is another user and may not gain privileges, one has what everybody has."""
    tracer = container("tracer", securityContext={"capabilities": {"add": ["SYS_PTRACE"]}}, stdin=True, tty=True)
    user = container("user", securityContext={"runAsUser": 1000, "allowPrivilegeEscalation": False})
    plain = container("plain", volumeMounts=[{"name": "secret", "mountPath": "/secret"}])
    podspace.kubectl("create", "secret", "generic", "s", "--from-literal=password=hunter2")
    volumes = [{"name": "secret", "secret": {"secretName": "s"}}]
    podspace.apply(pod("shared", tracer, user, plain, shareProcessNamespace=True, volumes=volumes))
    podspace.wait_ready("shared")
    yield podspace
    podspace.kubectl("delete", "pod/shared", "secret/s")


def test_no_process_holds_a_descriptor_of_the_server(shared: Server) -> None:
    script = "for p in /proc/[0-9]*; do for f in $p/fd/*; do echo $(cat $p/comm) $f $(readlink $f); done; done"
    for line in shared.exec("shared", "tracer", "sh", "-c", script).splitlines():
        comm, descriptor, target = [*line.split(maxsplit=2), ""][:3]
        if comm in ("sh", "cat", "readlink"):  # the script itself
            continue
        number = int(descriptor.rpartition("/")[2])
        assert number < 3 or (number, target) == (3, "anon_inode:[signalfd]"), line
        assert re.fullmatch(r"/dev/null|/dev/pts/\d+|pipe:\[\d+\]|anon_inode:\[signalfd\]", target), line


@pytest.mark.parametrize("name", ["tracer", "user", "plain"])
def test_an_exec_has_no_descriptor_but_its_own_three(shared: Server, name: str) -> None:
    assert shared.exec("shared", name, "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"], "3 is what ls reads"


def test_who_may_trace_finds_nothing_at_pause(shared: Server) -> None:
    assert shared.exec("shared", "tracer", "ls", "/proc/1/root/").split() == ["dev", "pause", "proc", "sys"]
    assert shared.exec("shared", "tracer", "ls", "/proc/1/root/sys").split() == []
    assert "/pause ro," in shared.exec("shared", "tracer", "grep", " /pause ", "/proc/1/mountinfo")
    status = shared.exec("shared", "tracer", "cat", "/proc/1/status")
    assert re.search(r"CapBnd:\s+0+\n", status)
    assert re.search(r"NoNewPrivs:\s+1\nSeccomp:\s+2\n", status)


@pytest.mark.parametrize(("name", "effective", "no_new_privileges"), [("plain", "00000000a80425fb", "0"), ("user", "0" * 16, "1")])
def test_an_exec_may_no_more_than_its_container(shared: Server, name: str, effective: str, no_new_privileges: str) -> None:
    lines = shared.exec("shared", name, "cat", "/proc/self/status").splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert (status["CapEff"], status["NoNewPrivs"], status["Seccomp"]) == (effective, no_new_privileges, "2")


@pytest.mark.parametrize(
    "attempt",
    [
        "echo x > /secret/new",
        "rm /secret/password",
        "ln -s / /secret/..data_tmp",
        "mknod /disk b 254 0 && head -c1 /disk",
        "mknod /mem c 1 1 && head -c1 /mem",
        "echo 1 > /proc/sysrq-trigger",
        "echo x > /proc/sys/kernel/core_pattern",
        "cd /sys/fs/cgroup/pids || cd /sys/fs/cgroup; mkdir x",
        "mount -t tmpfs x /mnt",
        "unshare -m true",
    ],
)
def test_what_root_in_a_container_may_not(shared: Server, attempt: str) -> None:
    done = shared.run("kubectl", "exec", "shared", "-c", "plain", "--", "sh", "-c", attempt, check=False)
    assert done.returncode != 0, attempt


def test_folders_nested_deeper_than_the_server_recurses_go_with_their_pod(podspace: Server) -> None:
    nester = container("nester", "sh", "-c", DEEP, volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}])
    podspace.apply(pod("deep", nester, volumes=[{"name": "scratch", "emptyDir": {}}], terminationGracePeriodSeconds=1))
    podspace.wait_ready("deep")
    podspace.exec("deep", "nester", "sh", "-c", "until [ -e /scratch/done ]; do sleep 0.1; done")
    uid = podspace.pod("deep")["metadata"]["uid"]
    podspace.kubectl("delete", "pod", "deep")
    assert not (podspace.paths.pods / uid).exists()


def archive_of_links(folder: Path, elsewhere: Path) -> Path:
    """A docker-archive: busybox, and links to a folder of the host wherever a runtime writes or reads before the container starts."""
    layer, path = io.BytesIO(), folder / "links.tar"
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox", filter=lambda member: member.replace(uid=0, gid=0))
        inside = tarfile.TarInfo(str(elsewhere).lstrip("/"))  # a folder of the same name in the image
        inside.type, inside.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(inside)
        for name, target in {"etc": elsewhere, "work": elsewhere, "message": elsewhere / "message", "bin/sh": Path("busybox")}.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, str(target)
            tar.addfile(link)
    digest = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    manifest = [{"Config": "config.json", "RepoTags": ["links:1"], "Layers": ["layer.tar"]}]
    parts = {"layer.tar": layer.getvalue(), "config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as tar:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_image_whose_folders_are_links_to_the_host_stays_in_its_container(podspace: Server, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "passwd").write_text("root:x:0:0::/home-of-the-host:/bin/sh\n")
    (host / "hosts").write_text("the host's\n")
    before = {path.name: path.read_text() for path in host.iterdir()}
    podspace.podspace("image", "load", "--root", str(podspace.root), str(archive_of_links(tmp_path, host)))
    command = ("sh", "-c", "echo $HOME; pwd; echo bye > /message; exec busybox sleep 7000")
    fields = {"image": "links:1", "imagePullPolicy": "Never", "workingDir": "/work/deep", "terminationMessagePath": "/message"}
    podspace.apply(pod("links", container("c", *command, **fields)))
    podspace.wait_ready("links")
    pods.eventually(lambda: podspace.kubectl("logs", "links").splitlines(), lambda said: said == ["/", f"{host}/deep"])
    assert "Kubernetes-managed" in podspace.exec("links", "c", "busybox", "cat", "/etc/hosts")
    podspace.kubectl("delete", "pod", "links", "--grace-period=1")
    assert {path.name: path.read_text() for path in host.iterdir()} == before


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8])
def test_a_working_folder_by_way_of_a_descriptor_leads_nowhere(podspace: Server, number: int) -> None:
    name = f"cwd{number}"
    podspace.apply(
        pod(name, container("c", "sh", "-c", "ls ../../../../root; pwd", workingDir=f"/proc/self/fd/{number}"), restartPolicy="Never")
    )
    podspace.wait_for(name, "{.status.phase}=Failed", seconds=20)
    podspace.kubectl("delete", "pod", name)


def test_what_holds_secrets_is_for_root_alone(podspace: Server) -> None:
    paths = podspace.paths
    podspace.apply(pod("holder", container("c", env=[{"name": "PASSWORD", "value": "hunter2"}])))
    podspace.wait_ready("holder")
    bundles = [*(paths.run / "containers").iterdir(), *(paths.run / "sandboxes").iterdir()]
    assert bundles
    for folder in (paths.lib, paths.certificates, *bundles):
        assert folder.stat().st_mode & 0o077 == 0, folder
    assert paths.run.stat().st_mode & 0o066 == 0, "root of a user namespace passes, nobody lists"
    for file in (paths.run / "containers").glob("*/*.json"):
        assert file.stat().st_mode & 0o177 == 0, file
    for file in (*paths.lib.glob("store.db*"), *paths.certificates.glob("*.key"), paths.kubeconfig, paths.api_socket):
        assert file.stat().st_mode & 0o177 == 0, file

"""One thing broken at a time, with real kubectl: the disk, the programs, /run, the server in the middle of something."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podspace.linux import mounts, syscalls
from tests.conformance.chaos import manifests, truth
from tests.conformance.chaos.manifests import container, pod
from tests.support import server as servers
from tests.support.pods import eventually
from tests.support.server import Server

pytestmark = pytest.mark.root


def status_of(server: Server, name: str, container_name: str = "a") -> dict[str, Any]:
    return next(s for s in truth.statuses(server.pod(name)) if s["name"] == container_name)


def events(server: Server, reason: str) -> list[str]:
    items = json.loads(server.kubectl("get", "events", "-o", "json"))["items"]
    return [event["message"] for event in items if event["reason"] == reason]


def pull_the_plug(server: Server) -> None:
    """As a reboot: every process is gone, /run is empty, the disk is as it was."""
    server.kill()
    for what, pid in truth.victims(server.paths):
        if what.startswith("conmon"):
            truth.kill(pid)
    for instance in truth.instances(server.paths):
        truth.kill(instance.pid) if instance.pid else None
    for _, pid in truth.victims(server.paths):
        truth.kill(pid)
    eventually(lambda: not truth.conmons(server.paths) and not truth.victims(server.paths))
    for folder in mounts.below(server.paths.run):
        syscalls.umount2(folder, syscalls.MNT_DETACH)
    shutil.rmtree(server.paths.run)


def test_after_a_reboot_pods_come_back_and_count_on_and_what_was_over_stays_over(own_server: Server) -> None:
    for manifest in (
        manifests.plain("stays"),
        pod("over", container("a", "echo said; exit 4"), restartPolicy="Never"),
        pod("once", container("a", manifests.STAYS), restartPolicy="Never"),
        pod("half", container("a", "exit 0"), container("b", manifests.STAYS), restartPolicy="OnFailure"),
    ):
        own_server.apply(manifest)
    for name in ("stays", "once"):
        own_server.wait_ready(name)
    own_server.wait_for("over", "{.status.phase}=Failed")
    own_server.wait_for("half", "{.status.containerStatuses[0].state.terminated.exitCode}=0")
    own_server.wait_for("half", "{.status.containerStatuses[1].started}=true")
    half = own_server.pod("half")["metadata"]["uid"]
    truth.kill(next(i.pid for i in truth.instances(own_server.paths) if (i.pod_uid, i.name) == (half, "b")))
    own_server.wait_for("half", "{.status.containerStatuses[1].restartCount}=1")
    own_server.exec("stays", "a", "true")
    over = own_server.pod("over")["status"]
    pull_the_plug(own_server)
    own_server.start()
    eventually(lambda: status_of(own_server, "stays")["restartCount"] == 1)  # until the Pod is looked at, its status is of before
    own_server.wait_ready("stays")
    assert status_of(own_server, "stays")["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert own_server.pod("over")["status"]["phase"] == "Failed"
    assert own_server.pod("over")["status"]["containerStatuses"] == over["containerStatuses"]
    assert own_server.kubectl("logs", "over") == "said\n"
    own_server.wait_for("once", "{.status.phase}=Failed")
    assert status_of(own_server, "once")["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    eventually(lambda: status_of(own_server, "half", "b")["restartCount"] >= 2)
    own_server.wait_for("half", "{.status.containerStatuses[1].started}=true")
    assert status_of(own_server, "half")["restartCount"] == 0


def test_the_death_of_pause_replaces_containers_that_outlive_it_and_ends_those_that_run_once(own_server: Server) -> None:
    for policy in ("Always", "Never"):
        own_server.apply(pod(policy.lower(), container("a", manifests.STAYS), restartPolicy=policy))
        own_server.wait_ready(policy.lower())
    for what, pid in truth.victims(own_server.paths):
        if what == "pause":
            truth.kill(pid)
    own_server.wait_for("always", "{.status.containerStatuses[0].restartCount}=1")
    own_server.wait_for("never", "{.status.phase}=Failed")
    own_server.wait_ready("always")
    assert status_of(own_server, "never")["state"]["terminated"]["exitCode"] == 137
    assert eventually(lambda: not truth.violations(own_server.paths, [own_server.pod(name) for name in ("always", "never")]))


@pytest.fixture
def small_root(registries_conf: Path) -> Iterator[Path]:
    """A root on a disk of its own, which is soon full."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    syscalls.mount("tmpfs", str(folder), "tmpfs", 0, "size=700m")
    try:
        yield folder
    finally:
        syscalls.umount2(str(folder), syscalls.MNT_DETACH)
        folder.rmdir()


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return filler


def test_a_full_disk_ends_neither_server_nor_pods_and_all_goes_on_once_there_is_room(small_root: Path, registries_conf: Path) -> None:
    with servers.running(small_root, registries_conf=registries_conf) as server:
        server.apply(manifests.plain("before"))
        server.wait_ready("before")
        filler = fill(small_root)
        refused = server.run("kubectl", "create", "--validate=false", "-f", "-", stdin=json.dumps(manifests.plain("no-room")), check=False)
        killed = next(i.pid for i in truth.instances(server.paths) if i.name == "a")
        truth.kill(killed)
        time.sleep(1.5)
        assert server.process is not None
        assert server.process.poll() is None, "".join(server.log[-30:])
        server.kubectl("get", "pods")
        server.kubectl("delete", "pod", "before", "--wait=false", "--grace-period=1", check=False)
        filler.unlink()
        if refused.returncode:
            assert "Traceback" not in refused.stderr
            server.kubectl("create", "-f", "-", stdin=json.dumps(manifests.plain("no-room")))
        server.wait_ready("no-room")
        server.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s", timeout=150)
        assert eventually(lambda: not truth.leftovers(server.paths, server.process.pid if server.process else 0))


@pytest.fixture
def private_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with only what the server and the tests need, from which things can be taken away."""
    for name in ("crun", "runc", "conmon", "catatonit", "nft", "kubectl", "mount", "umount", "nsenter", "unshare", "cat", "ip", "sh"):
        if (found := shutil.which(name)) is not None:
            (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("program", ["conmon", "crun"])
def test_a_program_that_goes_missing_is_told_of_and_used_again_when_it_is_back(
    root: Path, registries_conf: Path, private_path: Path, program: str
) -> None:
    with servers.running(root, registries_conf=registries_conf) as server:
        server.apply(manifests.plain("before"))
        server.wait_ready("before")
        (private_path / program).rename(private_path / "hidden")
        server.apply(pod("p", container("a", manifests.STAYS)))
        reason = "Failed" if program == "conmon" else "FailedCreatePodSandBox"
        said = eventually(lambda: [m for m in events(server, reason) if program in m])
        assert "Traceback" not in said[0]
        server.kubectl("delete", "pod", "before", "--grace-period=1", "--timeout=120s", timeout=150)
        (private_path / "hidden").rename(private_path / program)
        server.wait_ready("p")


def test_a_runtime_that_fails_is_told_of_and_pods_can_be_deleted_all_the_same(root: Path, registries_conf: Path, tmp_path: Path) -> None:
    script, real = tmp_path / "crun-odd", shutil.which("crun")
    working, broken = f'#!/bin/sh\nexec {real} "$@"\n', "#!/bin/sh\nexit 1\n"
    script.write_text(working)
    script.chmod(0o755)
    with servers.running(root, registries_conf=registries_conf, flags=("--oci-runtime", str(script))) as server:
        server.apply(manifests.shared("before"))
        server.wait_ready("before")
        replace(script, broken)
        server.apply(pod("p", container("a", manifests.STAYS)))
        said = eventually(lambda: events(server, "FailedCreatePodSandBox"))
        assert "crun-odd failed" in said[0]
        server.kill()
        server.start()
        server.kubectl("delete", "pod", "before", "--grace-period=1", "--timeout=120s", timeout=150)
        replace(script, working)
        server.wait_ready("p")


def test_a_server_that_ends_between_creating_and_starting_leaves_no_container_that_waits(
    root: Path, registries_conf: Path, tmp_path: Path
) -> None:
    script, real = tmp_path / "crun-slow", shutil.which("crun")
    working = f'exec {real} "$@"\n'
    script.write_text(f'#!/bin/sh\nfor word; do [ "$word" = start ] && exec sleep 3; done\n{working}')
    script.chmod(0o755)
    with servers.running(root, registries_conf=registries_conf, flags=("--oci-runtime", str(script))) as server:
        server.apply(manifests.shared("p"))
        created = eventually(lambda: [instance for instance in truth.instances(server.paths) if instance.pid])
        server.kill()
        replace(script, f"#!/bin/sh\n{working}")
        server.start()
        server.wait_ready("p")
        assert eventually(lambda: not truth.violations(server.paths, [server.pod("p")]))
        assert created[0].id not in {instance.id for instance in truth.instances(server.paths)}
        assert [status["restartCount"] for status in truth.statuses(server.pod("p"))] == [0, 0]


def replace(script: Path, text: str) -> None:
    fresh = script.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o755)
    os.replace(fresh, script)


def test_two_servers_side_by_side_leave_each_other_alone(own_server: Server, registries_conf: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    own_server.apply(manifests.shared("p"))
    own_server.wait_ready("p")
    before = own_server.pod("p")["status"]
    try:
        with servers.running(folder, registries_conf=registries_conf) as other:
            other.apply(manifests.shared("p"))
            other.wait_ready("p")
            assert other.pod("p")["status"]["podIP"] != before["podIP"]
            other.kill()
            own_server.kill()
            other.start()
            own_server.start()
            assert other.exec("p", "a", "echo", "here") == "here\n"
    finally:
        shutil.rmtree(folder)
    after = own_server.pod("p")["status"]
    assert [s["containerID"] for s in after["containerStatuses"]] == [s["containerID"] for s in before["containerStatuses"]]
    assert own_server.exec("p", "a", "echo", "here") == "here\n"


def test_a_pod_may_be_replaced_by_one_of_its_name_at_once(own_server: Server) -> None:
    manifest = json.dumps(pod("p", container("a", "exec sleep 7"), terminationGracePeriodSeconds=0))
    for _ in range(int(os.environ.get("PODSPACE_REPLACEMENTS", "30"))):
        own_server.kubectl("create", "--validate=false", "-f", "-", stdin=manifest)
        own_server.kubectl("delete", "pod", "p", "--force", "--wait=false")
    own_server.kubectl("create", "--validate=false", "-f", "-", stdin=manifest)
    own_server.wait_ready("p")
    assert eventually(lambda: not truth.violations(own_server.paths, [own_server.pod("p")]))


def test_sixty_pods_at_once(own_server: Server) -> None:
    many = {"apiVersion": "v1", "kind": "List", "items": [manifests.shared(f"p{number}") for number in range(60)]}
    own_server.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(many), timeout=120)
    own_server.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=300s", timeout=330)
    assert own_server.process is not None
    own_server.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=240s", timeout=270)
    assert eventually(lambda: not truth.leftovers(own_server.paths, own_server.process.pid if own_server.process else 0), seconds=120)
    assert sum(truth.open_files(own_server.process.pid).values()) < 60


def test_the_grace_of_one_who_will_not_go_can_be_cut_short(own_server: Server) -> None:
    own_server.apply(pod("p", container("a", manifests.STUBBORN), terminationGracePeriodSeconds=600))
    own_server.wait_ready("p")
    own_server.kubectl("delete", "pod", "p", "--wait=false")
    own_server.kill()
    own_server.start()
    assert own_server.pod("p")["metadata"]["deletionGracePeriodSeconds"] == 600
    assert own_server.exec("p", "a", "echo", "still here") == "still here\n"
    own_server.kubectl("delete", "pod", "p", "--now", "--timeout=120s", timeout=150)


def test_who_forks_when_asked_to_stop_is_killed_to_the_last(own_server: Server) -> None:
    bomb = "trap 'i=0; while [ $i -lt 400 ]; do sleep 977 & i=$((i+1)); done' TERM; echo up; while :; do sleep 0.1; done"
    own_server.apply(pod("p", container("a", bomb), shareProcessNamespace=True, terminationGracePeriodSeconds=1))
    own_server.wait_ready("p")
    eventually(lambda: own_server.kubectl("logs", "p") == "up\n")
    own_server.kubectl("delete", "pod", "p", "--timeout=120s", timeout=150)


def test_an_image_that_is_removed_while_it_is_used_does_not_hurt_who_uses_it(own_server: Server) -> None:
    own_server.apply(pod("p", container("a", manifests.STAYS)))
    own_server.wait_ready("p")
    own_server.podspace("image", "rm", manifests.IMAGE, "--root", str(own_server.root), check=False)
    assert own_server.exec("p", "a", "echo", "here") == "here\n"
    truth.kill(next(i.pid for i in truth.instances(own_server.paths) if i.pid))
    own_server.wait_for("p", "{.status.containerStatuses[0].restartCount}=1")
    own_server.wait_ready("p")


def test_a_crash_loop_goes_on_over_restarts_of_the_server(own_server: Server) -> None:
    own_server.apply(manifests.crashing("p"))
    own_server.wait_for("p", "{.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    first = status_of(own_server, "p")["restartCount"]
    for _ in range(2):
        own_server.kill()
        own_server.start()
        own_server.wait_for("p", "{.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    assert status_of(own_server, "p")["restartCount"] >= first
    assert status_of(own_server, "p", "b")["restartCount"] == 0

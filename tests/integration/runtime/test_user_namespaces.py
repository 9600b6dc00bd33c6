"""A sandbox with a user namespace of its own: who its root is outside, what it owns inside, and what its files look like from both."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from podspace import errors
from podspace.linux import idmap, netns
from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root
FIRST = 655_360


def mapping(first: int = FIRST, length: int = 65536) -> idmap.IdMap:
    ranges = (idmap.Range(inside=0, outside=first, length=length),)
    return idmap.IdMap(uids=ranges, gids=ranges)


@pytest.fixture
def open_root(root: Path) -> Path:
    """Whoever is root in a user namespace must get there."""
    root.chmod(0o711)
    return root


def make_volume(root: Path) -> Path:
    volume = root / "closed" / "volume"
    volume.mkdir(parents=True)
    (volume / "roots").write_text("old\n")
    (volume / "webs").touch()
    os.chown(volume / "webs", 101, 102)
    volume.parent.chmod(0o700)  # as a kubelet's folders are: nobody else passes
    return volume


async def _unmapped(here: rig.Rig, container: str, *paths: str) -> list[str]:
    owners = (await here.output(container, "stat", "-c", "%n %u:%g", *paths)).splitlines()
    return [line for line in owners if not line.endswith(" 0:0")]


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_root_inside_is_nobody_outside_and_files_are_whose_they_should_be(open_root: Path, runtime: str) -> None:
    async def scene(here: rig.Rig) -> None:
        volume = make_volume(open_root)
        sandbox = await here.engine.run_sandbox(here.sandbox_config(user_namespace=mapping()))
        data = model.Mount(source=volume, destination="/data", id_map=mapping())
        file = model.Mount(source=volume / "roots", destination="/file", id_map=mapping(), readonly=True)
        plain = model.Mount(source=volume, destination="/plain")
        image = model.Mount(destination="/image", image="busybox")
        container = await here.run(sandbox, "sleep", "1000", mounts=(data, file, plain, image), working_dir="/made/on/demand")
        assert (await here.output(container, "cat", "/proc/self/uid_map", "/proc/self/gid_map")).split() == ["0", str(FIRST), "65536"] * 2
        assert os.stat(f"/proc/{here.engine.container(container).pid}").st_uid == FIRST
        assert os.stat(f"/proc/{here.engine.sandbox(sandbox).pid}").st_uid == FIRST
        own = ("/", "/bin/busybox", "/etc", "/data", "/data/roots", "/file", "/image/bin/busybox", "/made", "/made/on/demand")
        assert await _unmapped(here, container, *own, "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/shm") == []
        assert await here.output(container, "stat", "-c", "%u:%g", "/data/webs", "/plain/webs", "/plain/roots") == (
            "101:102\n65534:65534\n65534:65534\n"
        )
        await here.output(
            container, "sh", "-c", "echo more >> /data/roots; touch /data/new /new; chown web:web /data/new; echo 1 x >> /etc/hosts"
        )
        assert (volume / "roots").read_text() == "old\nmore\n"
        assert (os.stat(volume / "new").st_uid, os.stat(volume / "new").st_gid) == (101, 102)
        assert os.stat(here.engine.upper(container) / "new").st_uid == FIRST
        for denied in ("echo x > /plain/roots", "echo x > /file", "touch /image/x", "mount -t tmpfs x /tmp"):
            assert (await here.engine.exec_sync(container, ["sh", "-c", denied])).exit_code != 0, denied

    rig.play(open_root, scene, oci_runtime=runtime)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_the_sandboxes_namespaces_are_its_own_to_rule(open_root: Path, runtime: str) -> None:
    """Network, IPC and UTS belong to the user namespace: with the capabilities for it, root changes them, and nothing of the host's."""

    async def scene(here: rig.Rig) -> None:
        config = here.sandbox_config(
            user_namespace=mapping(), sysctls={"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1"}
        )
        sandbox = await here.engine.run_sandbox(config)
        one = await here.run(sandbox, "sleep", "1001", name="one", security=model.Security(privileged=True))
        two = await here.run(sandbox, "sleep", "1002", name="two", security=model.Security(uid=101, gid=102))
        await here.output(
            one, "sh", "-c", "hostname renamed && ip link set lo up && mount -t tmpfs none /tmp && echo 5 > /proc/sys/kernel/msg_next_id"
        )
        assert await here.output(
            two, "sh", "-c", "hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
        ) == ("renamed\n80\n1\n")
        assert os.uname().nodename != "renamed"
        before = Path("/proc/sys/kernel/panic").read_text()
        for path in ("/proc/sys/kernel/panic", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger"):
            denied = await here.engine.exec_sync(one, ["sh", "-c", f"echo 9 > {path}"])
            assert denied.exit_code != 0, path
        assert Path("/proc/sys/kernel/panic").read_text() == before
        assert (await here.engine.exec_sync(one, ["dmesg"])).exit_code != 0
        assert (await here.engine.exec_sync(one, ["mknod", "/disk", "b", "8", "0"])).exit_code != 0
        seen = await here.output(one, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "sleep 1002" in seen, "the process namespace is shared"
        pid = (await here.output(one, "pidof", "sleep")).split()
        await here.output(one, "sh", "-c", f"ls -l /proc/{pid[0]}/root/ /proc/{pid[1]}/root/ > /dev/null")

    rig.play(open_root, scene, oci_runtime=runtime)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_terminals_exec_and_ports_work_as_elsewhere(open_root: Path, runtime: str) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config(user_namespace=mapping()))
        container = await here.run(
            sandbox, "sh", "-c", "echo hello; exec cat", name="tty", tty=True, stdin=True, security=model.Security(uid=101)
        )
        client = rig.Client(tty=True)
        assert await here.engine.exec(container, ["sh", "-c", "tty; echo out > /dev/stdout; id -u"], client) == 0
        assert client.out.split()[-3:] == [b"/dev/pts/1", b"out", b"101"] or client.out.split()[-2:] == [b"out", b"101"]
        piped = rig.Client(b"through\n")
        assert await here.engine.exec(container, ["cat"], piped) == 0
        assert bytes(piped.out) == b"through\n"
        pid = here.engine.sandbox(sandbox).pid
        await here.output(container, "true")
        with netns.open_socket(pid) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            reader, writer = await here.engine.port_forward(sandbox, listener.getsockname()[1])
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"hi")
                accepted.shutdown(socket.SHUT_WR)
                assert await reader.read() == b"hi"
            writer.close()
        assert here.engine.container(container).log_path.read_bytes()

    rig.play(open_root, scene, oci_runtime=runtime)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_the_machines_dev_null_stays_roots(open_root: Path, runtime: str) -> None:
    """crun before 1.24 gives a container's standard streams to its user: never may that be a device of the machine."""

    async def scene(here: rig.Rig) -> None:
        Path("/dev/null").stat()
        for name, wanted in (("plain", None), ("mapped", mapping())):
            sandbox = await here.engine.run_sandbox(here.sandbox_config(name, user_namespace=wanted))
            for uid in (0, 101):
                for tty in (False, True):
                    container = await here.run(
                        sandbox, "sleep", "1000", name=f"{uid}-{tty}", tty=tty, security=model.Security(uid=uid, gid=uid)
                    )
                    await here.output(container, "true")
                    await here.engine.exec(container, ["true"], rig.Client(tty=True))
                    await here.engine.exec_sync(container, ["sh", "-c", "chmod 0 /proc/self/fd/0"])
        for device in ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty"):
            found = os.stat(device)
            assert (found.st_uid, found.st_mode & 0o777) == (0, 0o666), device

    rig.play(open_root, scene, oci_runtime=runtime)


def test_a_mount_can_have_other_ids_than_its_sandbox(open_root: Path) -> None:
    """As the CRI has it: without a user namespace of the sandbox, too."""

    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        volume = make_volume(open_root)
        container = await here.run(
            sandbox, "sleep", "1000", mounts=(model.Mount(source=volume, destination="/data", id_map=mapping(1000)),)
        )
        assert await here.output(container, "stat", "-c", "%u:%g", "/data/roots", "/data/webs") == "1000:1000\n1101:1102\n"

    rig.play(open_root, scene)


def test_what_cannot_be_is_refused_with_its_reason(open_root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config(user_namespace=mapping()))
        proc = model.Mount(source=Path("/proc/sys"), destination="/data", id_map=mapping())
        with pytest.raises(errors.Unsupported, match=r"mount /data: /proc/sys \(proc\) cannot be shown with the ids of a user namespace"):
            await here.create(sandbox, "true", mounts=(proc,))
        shared = model.Mount(source=open_root, destination="/data", id_map=mapping(), propagation="rshared")
        with pytest.raises(errors.FailedPrecondition, match="cannot be bidirectional"):
            await here.create(sandbox, "true", mounts=(shared,))
        with pytest.raises(errors.FailedPrecondition, match="uid 70000 is not in the Pod's user namespace"):
            await here.create(sandbox, "true", security=model.Security(uid=70000))
        open_root.chmod(0o700)
        here.engine._here.userns_tried = False
        with pytest.raises(errors.Unsupported, match=f"{open_root} lets nobody but its owner pass"):
            await here.engine.run_sandbox(here.sandbox_config("closed", user_namespace=mapping()))
        open_root.chmod(0o711)

    rig.play(open_root, scene)


def test_two_sandboxes_cannot_touch_each_others_files(open_root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        first = await here.engine.run_sandbox(here.sandbox_config("first", user_namespace=mapping()))
        other = await here.engine.run_sandbox(replace(here.sandbox_config("other"), user_namespace=mapping(FIRST + 65536)))
        volume = make_volume(open_root)
        victim = await here.run(first, "sleep", "1000", name="victim")
        await here.output(victim, "sh", "-c", "umask 077; echo secret > /secret")
        # had it broken out of its mounts, it would meet the victim's files like this
        spy = await here.run(
            other, "sleep", "1000", name="spy", mounts=(model.Mount(source=here.engine.upper(victim), destination="/victim"),)
        )
        assert (await here.engine.exec_sync(spy, ["cat", "/victim/secret"])).exit_code != 0
        assert volume.exists()

    rig.play(open_root, scene)


def test_what_a_killed_server_left_mounted_is_never_deleted_through(open_root: Path) -> None:
    """Killed between attaching a layer and mounting the overlay, or at the trial."""

    async def scene(here: rig.Rig) -> None:
        layer = here.images.known["busybox"].layers[0]
        sandbox = await here.engine.run_sandbox(here.sandbox_config(user_namespace=mapping()))
        container = await here.run(sandbox, "sleep", "1000")
        places = [here.engine.upper(container).parent / "tmp" / "0", here.settings.paths.run / "tmp" / "userns-layers" / "0"]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            idmap.attach(layer, place, None)
        here.engine._here.userns_tried = False
        assert await here.engine.missing_for_user_namespaces() == ""
        await here.engine.remove_container(container)
        assert (layer / "bin" / "busybox").exists()
        assert not [place for place in places if place.exists()]

    rig.play(open_root, scene)

"""The server and conmon stay in the host's mounts; only the OCI runtime may see fewer, and what is mounted later it sees all the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podspace.linux import cgroups, mounts, mountview, procfs, syscalls
from podspace.runtime import model, recover
from tests.integration.runtime import rig
from tests.support.mountview import in_child

pytestmark = pytest.mark.root


@contextlib.contextmanager
def fresh() -> Iterator[int]:
    view = mountview.fresh()
    try:
        yield view
    finally:
        os.close(view)


_HYBRID = pytest.mark.skipif(
    cgroups.mode(mounts.table()) is not cgroups.Mode.HYBRID, reason="needs a machine with v2 cgroups beside v1 ones"
)


def of_system(table: list[mounts.MountEntry]) -> list[str]:
    """Targets no other test mounts anything at."""
    return sorted(entry.target for entry in table if entry.target.startswith(("/proc", "/sys", "/dev")))


@_HYBRID
def test_what_is_started_in_a_view_does_not_see_v2_cgroups_and_nothing_else_changes() -> None:
    before, folder = of_system(mounts.table()), os.getcwd()
    with fresh() as view, mountview.inside(view):
        seen = subprocess.run(["cat", "/proc/self/mountinfo"], check=True, capture_output=True, text=True).stdout
        inside = mounts.table()
    assert of_system(inside) == of_system(mounts.parse_mountinfo(seen))
    assert of_system(inside) == sorted([*before, str(cgroups.UNIFIED)])
    assert [entry.fstype for entry in inside if entry.target == str(cgroups.UNIFIED)] == ["cgroup2", "tmpfs"]
    assert (of_system(mounts.table()), os.getcwd()) == (before, folder)


@_HYBRID
@pytest.mark.parametrize("kind", ["fresh", "bare"])
def test_a_view_covers_nothing_on_a_machine_whose_mounts_are_shared(kind: str) -> None:
    """As systemd makes them: what is mounted in one namespace then shows in the others."""

    def look() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SHARED)
        before = mounts.table()
        with mountview.inside(mountview.fresh() if kind == "fresh" else mountview.bare(())):
            assert [entry.fstype for entry in mounts.table() if entry.target == str(cgroups.UNIFIED)][-1] == "tmpfs"
        assert of_system(mounts.table()) == of_system(before)
        assert {entry.target for entry in before} <= {entry.target for entry in mounts.table()} | _of_others(before)

    assert in_child(look) == ""


def _of_others(table: list[mounts.MountEntry]) -> set[str]:
    """Below these other tests mount and unmount meanwhile."""
    return {entry.target for entry in table if entry.target.startswith(("/tmp/", "/run/"))}


@_HYBRID
def test_nothing_is_written_into_the_folder_below_the_hidden_mount(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        await here.run(sandbox, "sleep", "1000")
        marker = Path(here.settings.cgroup_root).name

        def look() -> None:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
            syscalls.umount2(str(cgroups.UNIFIED), syscalls.MNT_DETACH)
            assert not (cgroups.UNIFIED / marker).exists()

        assert in_child(look) == ""

    rig.play(root, scene)


@_HYBRID
def test_other_threads_stay_where_they_are() -> None:
    entered, done = threading.Event(), threading.Event()
    where: list[str] = []

    def look() -> None:
        entered.wait()
        where.append(os.readlink("/proc/thread-self/ns/mnt"))
        done.set()

    home = os.readlink("/proc/thread-self/ns/mnt")
    thread = threading.Thread(target=look)
    thread.start()
    try:
        with fresh() as view, mountview.inside(view):
            assert os.readlink("/proc/thread-self/ns/mnt") != home
            entered.set()
            done.wait()
    finally:
        entered.set()
        thread.join()
    assert where == [home]
    assert os.readlink("/proc/thread-self/ns/mnt") == home


def test_nothing_that_lives_on_keeps_the_hosts_mounts_busy(root: Path) -> None:
    volume = root / "volume"
    volume.mkdir()

    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        mounts.tmpfs(volume, size_bytes=1 << 20)
        try:
            (volume / "file").write_text("mounted after the server was started")
            container = await here.run(sandbox, "sleep", "1000", mounts=(model.Mount(source=volume, destination="/data"),))
            assert await here.output(container, "cat", "/data/file") == "mounted after the server was started"
            assert mounts.is_mounted(here.engine.container(container).rootfs)
            homes = {os.readlink(f"/proc/{pid}/ns/mnt") for pid in recover.supervisors(here.settings.paths.run / "exits").values()}
            assert homes == {os.readlink("/proc/self/ns/mnt")}
            await here.engine.remove_container(container)
        finally:
            syscalls.umount2(str(volume))  # refused were it busy
        until = time.monotonic() + 20  # another program may have a view of the machine for a moment
        while keepers := [procfs.cmdline(pid) for pid in procfs.pids() if str(volume) in _mountinfo(pid)]:
            assert time.monotonic() < until, keepers
            await asyncio.sleep(0.1)

    rig.play(root, scene)


def _mountinfo(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return ""


@_HYBRID
def test_a_program_that_is_not_there_leaves_us_at_home() -> None:
    home = os.readlink("/proc/thread-self/ns/mnt")
    with fresh() as view, pytest.raises(FileNotFoundError), mountview.inside(view):
        subprocess.run(["/no/such/program"], check=False)
    assert os.readlink("/proc/thread-self/ns/mnt") == home


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        *((name, True) for name in ("/", "/proc", "/sys/fs/cgroup/cpu", "/dev/shm", "/usr", "/run", "/run/podspace", "/opt/oci")),
        *((name, False) for name in ("/mnt/usb", "/run/podspace/containers/1/rootfs", "/run/user/0", "/home", "/devices", "/opt/other")),
    ],
)
def test_what_a_bare_view_keeps(target: str, kept: bool) -> None:
    assert mountview.is_kept(target, ["/run/podspace/crun", "/opt/oci/bin/crun"]) is kept


@_HYBRID
def test_a_bare_view_holds_no_mount_of_the_hosts_that_may_go_away(root: Path) -> None:
    (root / "usb").mkdir()
    (root / "state").mkdir()
    mounts.tmpfs(root / "usb", size_bytes=1 << 20)
    try:
        view = mountview.bare((root / "state",))
        with mountview.inside(view):
            (root / "state" / "file").write_text("seen by all")
            kept = [entry.target for entry in mounts.table()]
            assert not (root / "usb").is_mount()
        os.close(view)
    finally:
        syscalls.umount2(str(root / "usb"))
    assert str(cgroups.UNIFIED) in kept
    assert not [target for target in kept if target.startswith(str(root))]
    assert (root / "state" / "file").read_text() == "seen by all"

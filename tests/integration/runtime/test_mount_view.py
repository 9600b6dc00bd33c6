"""The server and conmon stay in the host's mounts; only the OCI runtime may see fewer, and what is mounted later it sees all the same."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from podspace.linux import cgroups, mounts, mountview, procfs, syscalls
from podspace.runtime import model, recover
from tests.integration.runtime import rig
from tests.support.mountview import in_child

pytestmark = pytest.mark.root


_HYBRID = pytest.mark.skipif(
    cgroups.mode(mounts.table()) is not cgroups.Mode.HYBRID, reason="needs a machine with v2 cgroups beside v1 ones"
)


@_HYBRID
def test_what_is_started_in_a_view_does_not_see_v2_cgroups_and_nothing_else_changes() -> None:
    before, folder = _here(), os.getcwd()
    with mountview.entered():
        seen = subprocess.run(["readlink", "/proc/self/ns/mnt"], check=True, capture_output=True, text=True).stdout.strip()
        inside, there = mounts.table(), _here()
    assert (seen, there != before) == (there, True)
    lasting = [entry.target for entry in mounts.table() if not entry.target.startswith("/tmp/")]  # there others' tests mount and unmount
    assert sorted(entry.target for entry in inside if not entry.target.startswith("/tmp/")) == sorted([*lasting, str(cgroups.UNIFIED)])
    assert inside[-1].fstype == "tmpfs"
    assert (_here(), os.getcwd()) == (before, folder)


def _here() -> str:
    """This thread's mount namespace."""
    return os.readlink("/proc/thread-self/ns/mnt")


@_HYBRID
def test_a_view_covers_nothing_on_a_machine_whose_mounts_are_shared() -> None:
    """As systemd makes them: what is mounted in one namespace then shows in the others."""

    def look() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SHARED)
        before = _at_cgroups()
        with mountview.entered():
            assert _at_cgroups()[-1].fstype == "tmpfs"
        assert _at_cgroups() == before

    assert in_child(look) == ""


def _at_cgroups() -> list[mounts.MountEntry]:
    """Elsewhere others mount what they like meanwhile."""
    return [entry for entry in mounts.table() if Path(entry.target).is_relative_to(cgroups.ROOT)]


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
        with mountview.entered():
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
        assert [pid for pid in procfs.pids() if str(volume) in _mountinfo(pid)] == []

    rig.play(root, scene)


def _mountinfo(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return ""


def test_a_program_that_is_not_there_leaves_us_at_home() -> None:
    home = os.readlink("/proc/thread-self/ns/mnt")
    with pytest.raises(FileNotFoundError), mountview.entered():
        subprocess.run(["/no/such/program"], check=False)
    assert os.readlink("/proc/thread-self/ns/mnt") == home

"""What makes it quick must not make it wrong: copies in memory, netns made beforehand, what is cleared away early."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from podspace import errors
from podspace.linux import cgroups, netns, procfs, sealed
from podspace.oci import runtimes
from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root


def test_a_copy_runs_and_nobody_can_change_it() -> None:
    fd = sealed.copy(os.path.realpath(sys.executable))
    try:
        program = f"/proc/self/fd/{fd}"
        done = subprocess.run(
            [sys.executable, "-c", "print('ran')"], executable=program, pass_fds=(fd,), capture_output=True, text=True, check=True
        )
        assert done.stdout == "ran\n"
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        with pytest.raises(PermissionError):
            os.write(fd, b"x")
    finally:
        os.close(fd)


def test_crun_is_run_from_its_copy_and_from_a_new_one_when_it_changes(tmp_path: Path) -> None:
    program = tmp_path / "crun"
    shutil.copy(shutil.which("crun") or "", program)
    runtime = runtimes.OciRuntime(program, tmp_path / "state")
    with runtime.callable_by_others() as first, runtime.callable_by_others() as second:
        assert first == second
        assert subprocess.run([first[-1], "--version"], capture_output=True, text=True, check=True).stdout.startswith("crun version")
        assert os.readlink(first[-1]).startswith("/memfd:crun")
    program.write_bytes(b"#!/bin/sh\nexit 7\n")
    with runtime.callable_by_others() as call:  # what does not work from memory is run as it is
        assert call[-1] == str(program)


def test_what_is_started_inside_is_worth_what_was_said_and_we_are_as_before() -> None:
    before = Path("/proc/self/oom_score_adj").read_text()
    with procfs.oom_score_adj(777):
        child = subprocess.run(["cat", "/proc/self/oom_score_adj"], capture_output=True, text=True, check=True)
    assert child.stdout == "777\n"
    assert Path("/proc/self/oom_score_adj").read_text() == before


def test_a_netns_lives_as_long_as_its_block_and_tells_what_went_wrong_in_it() -> None:
    def refuse() -> None:
        raise PermissionError("no")

    async def scene() -> None:
        seen: list[str] = []
        with netns.New(lambda: seen.append(os.readlink("/proc/thread-self/ns/net"))) as new:
            thread = await new.thread()
            assert seen == [os.readlink(f"/proc/{thread}/ns/net")]
            assert seen != [os.readlink("/proc/self/ns/net")]
        with netns.New(refuse) as new, pytest.raises(PermissionError, match="no"):
            await new.thread()
        with netns.New(lambda: None):  # nobody asks for it
            pass

    asyncio.run(scene())


def test_a_dead_container_keeps_its_status_and_log_and_nothing_in_the_kernel(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        here_cgroups = cgroups.detect()
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        busy = await here.run(sandbox, "sleep", "1000", name="busy")
        dead = await here.run(sandbox, "echo", "gone", name="dead")
        await here.ended(dead)
        cgroup = here.engine.container(dead).cgroup
        state = here.settings.paths.run / "crun"
        async with asyncio.timeout(20):
            while (state / dead).exists() or here_cgroups.exists(cgroup):
                await here.output(busy, "true")
        assert (here.engine.container(dead).exit_code, here.log(dead)) == (0, "gone")
        assert (await here.engine.container_usage(dead)).cgroup.memory_bytes == 0
        await here.engine.stop_sandbox(sandbox)
        assert here.engine.sandbox(sandbox).state is model.SandboxState.NOT_READY

    rig.play(root, scene)


def test_what_is_on_the_disk_now_is_told_beside_figures_that_may_be_older(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sleep", "1000")
        before = (await here.engine.container_usage(container)).layer.bytes
        await here.output(container, "dd", "if=/dev/zero", "of=/tmp/file", "bs=1M", "count=3")
        assert (await here.engine.disk_used(container)).bytes >= before + (3 << 20)

    rig.play(root, scene)


def test_sysctls_of_the_network_are_set_where_it_is_made(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        wanted = {"net.core.somaxconn": "321", "net/ipv4/tcp_syncookies": "0", "kernel.shm_rmid_forced": "1"}
        sandbox = await here.engine.run_sandbox(here.sandbox_config(sysctls=wanted))
        container = await here.run(sandbox, "sleep", "1000")
        files = ("net/core/somaxconn", "net/ipv4/tcp_syncookies", "kernel/shm_rmid_forced", "net/ipv4/ip_unprivileged_port_start")
        assert (await here.output(container, "cat", *(f"/proc/sys/{name}" for name in files))).split() == ["321", "0", "1", "0"]
        assert Path("/proc/sys/net/core/somaxconn").read_text().strip() != "321"
        with pytest.raises(errors.FailedPrecondition, match=r"sysctl net\.no\.such=1: No such file"):
            await here.engine.run_sandbox(here.sandbox_config("other", sysctls={"net.no.such": "1"}))

    rig.play(root, scene)

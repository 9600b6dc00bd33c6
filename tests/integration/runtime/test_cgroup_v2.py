"""The same engine where cgroups are v2 only: such a view is made for the test, with the machine's own v2 hierarchy."""

from __future__ import annotations

from pathlib import Path

import pytest

from podspace.linux import cgroups, mounts, procfs, syscalls
from podspace.oci import capabilities
from podspace.runtime import model
from tests.integration.runtime import rig
from tests.support import mountview

pytestmark = pytest.mark.root


def _only_v2() -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
    if cgroups.mode(mounts.table()) is not cgroups.Mode.V2:
        syscalls.umount2(str(cgroups.ROOT), syscalls.MNT_DETACH)
        syscalls.mount("cgroup2", str(cgroups.ROOT), "cgroup2")


def _play(root: Path, oci_runtime: str = "") -> None:
    async def scene(here: rig.Rig) -> None:
        assert here.engine._here.cgroups.version == 2
        sandbox = await here.engine.run_sandbox(here.sandbox_config(cgroup_group="burstable"))
        neighbour = await here.run(sandbox, "sleep", "1000", name="neighbour")
        main = await here.run(sandbox, "sh", "-c", "setsid sleep 1001 & exit 3", name="main")
        assert (await here.ended(main)).exit_code == 3
        listed = await here.output(neighbour, "ps", "-o", "args")
        assert "/pause" in listed
        assert "sleep 1001" not in listed
        assert (await here.output(neighbour, "cat", "/proc/self/cgroup")).endswith("0::/\n")
        assert "cgroup.procs" in await here.output(neighbour, "ls", "/sys/fs/cgroup")
        deaf = await here.run(sandbox, "sh", "-c", "trap '' TERM; echo up; sleep 1002 & sleep 1003", name="deaf")
        await here.said(deaf, "up")
        await here.engine.stop_container(deaf, 0.05)
        assert here.engine.container(deaf).exit_code == 137
        assert here.engine.sandbox(sandbox).state is model.SandboxState.READY

    rig.play(root, scene, oci_runtime=oci_runtime)


@pytest.mark.parametrize("oci_runtime", ["crun", "runc"])
def test_containers_run_end_and_are_killed_on_v2(root: Path, oci_runtime: str) -> None:
    if oci_runtime == "crun" and "CAP_SYS_RESOURCE" not in capabilities.of_mask(procfs.capabilities("CapEff")):
        pytest.skip("crun raises RLIMIT_MEMLOCK for its device filter on v2, which takes CAP_SYS_RESOURCE")

    def inside() -> None:
        _only_v2()
        _play(root, oci_runtime)

    said = mountview.in_child(inside)
    if said:
        pytest.fail(said, pytrace=False)

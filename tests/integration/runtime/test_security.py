"""What the kernel says of a container's first process: capabilities, seccomp, users, read-only places, devices."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from podspace.linux import procfs
from podspace.oci import capabilities, defaults, seccomp_bpf, seccomp_default
from podspace.runtime import model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root


async def _status(here: rig.Rig, container: str) -> dict[str, str]:
    text = await here.output(container, "cat", "/proc/self/status")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def _names(mask: str) -> set[str]:
    return set(capabilities.of_mask(int(mask, 16)))


def test_a_default_container_has_the_default_capabilities_and_seccomp(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(sandbox, "sleep", "1000")
        status = await _status(here, container)
        assert _names(status["CapEff"]) == _names(status["CapBnd"]) == set(capabilities.DEFAULT)
        assert (int(status["CapInh"], 16), int(status["CapAmb"], 16)) == (0, 0)
        assert status["Seccomp"] == "2"
        main = here.engine.container(container).pid
        assert procfs.capabilities("CapEff", str(main)) == int(status["CapEff"], 16)
        denied = await here.engine.exec_sync(container, ["unshare", "-m", "true"])
        assert denied.exit_code != 0
        assert (await here.engine.exec_sync(container, ["sh", "-c", "echo 1 >/proc/sys/vm/overcommit_memory"])).exit_code != 0
        for path in filter(os.path.isfile, defaults.MASKED_PATHS):
            assert await here.output(container, "cat", path) == ""

    rig.play(root, scene)


def test_added_dropped_and_privileged(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        traced = await here.run(
            sandbox, "sleep", "1000", name="t", security=model.Security(capabilities_add=("SYS_PTRACE",), capabilities_drop=("MKNOD",))
        )
        status = await _status(here, traced)
        assert _names(status["CapEff"]) == set(capabilities.DEFAULT) - {"CAP_MKNOD"} | {"CAP_SYS_PTRACE"}
        bare = await here.run(sandbox, "sleep", "1000", name="b", security=model.Security(capabilities_drop=("ALL",), no_new_privs=True))
        status = await _status(here, bare)
        assert (int(status["CapEff"], 16), status["NoNewPrivs"]) == (0, "1")
        full = await here.run(sandbox, "sleep", "1000", name="p", security=model.Security(privileged=True))
        status = await _status(here, full)
        assert int(status["CapEff"], 16) == procfs.capabilities("CapBnd")
        assert status["Seccomp"] == "0"
        assert "loop-control" in await here.output(full, "ls", "/dev") or not Path("/dev/loop-control").exists()
        loose = await here.run(sandbox, "sleep", "1000", name="u", security=model.Security(seccomp=model.SeccompProfile(kind="Unconfined")))
        assert (await _status(here, loose))["Seccomp"] == "0"

    rig.play(root, scene)


def test_users_are_those_of_the_image(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        web = await here.run(sandbox, "sleep", "1000", name="web", security=model.Security(user="web", supplemental_groups=(7,)))
        assert await here.output(web, "sh", "-c", "id -u; id -g; echo $HOME") == "101\n102\n/var/www\n"
        assert here.engine.container(web).user == model.ResolvedUser(uid=101, gid=102, supplemental_groups=(7, 300))
        assert int((await _status(here, web))["CapEff"], 16) == 0
        other = await here.run(sandbox, "sleep", "1000", name="other", security=model.Security(uid=4000, gid=4001))
        assert await here.output(other, "sh", "-c", "id -u; id -g; echo $HOME") == "4000\n4001\n/\n"

    rig.play(root, scene)


def test_a_strict_policy_leaves_the_images_groups_out(root: Path) -> None:
    """KEP-3619: the image puts its user web into a group; ``Strict`` takes none but those that are asked for."""

    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        for policy, wanted in (("Merge", {102, 7, 300}), ("Strict", {102, 7})):
            security = model.Security(uid=101, supplemental_groups=(7,), supplemental_groups_policy=policy)
            container = await here.run(sandbox, "sleep", "1000", name=policy.lower(), security=security)
            assert set(map(int, (await here.output(container, "id", "-G")).split())) == wanted
            told = here.engine.container(container).user
            assert told is not None
            assert {told.gid, *told.supplemental_groups} == wanted

    rig.play(root, scene)


def test_another_user_without_ptrace_does_not_read_a_neighbours_environment(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        web = await here.run(sandbox, "sleep", "1001", name="web")
        pid = (await here.output(web, "sh", "-c", "until pidof sleep; do :; done")).strip()
        other = await here.run(sandbox, "sleep", "1002", name="other", security=model.Security(uid=4000))
        denied = await here.engine.exec_sync(other, ["cat", f"/proc/{pid}/environ"])
        assert denied.exit_code != 0
        assert b"ermission denied" in denied.stderr
        assert (await here.engine.exec_sync(other, ["ls", f"/proc/{pid}/root/"])).exit_code != 0

    rig.play(root, scene)


def test_volumes_and_read_only_roots(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        volume = root / "volume"
        volume.mkdir()
        (root / "hosts").write_text("1.2.3.4 mine\n")
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        container = await here.run(
            sandbox,
            "sleep",
            "1000",
            mounts=(
                model.Mount(source=volume, destination="/data/rw"),
                model.Mount(source=volume, destination="/data/ro", readonly=True),
                model.Mount(source=root / "hosts", destination="/etc/hosts"),
            ),
            security=model.Security(readonly_rootfs=True),
            working_dir="/data/rw",
        )
        assert (await here.engine.exec_sync(container, ["touch", "/x"])).exit_code != 0
        await here.output(container, "sh", "-c", "pwd > /data/rw/x; cat /data/ro/x")
        assert (volume / "x").read_text() == "/data/rw\n"
        assert (await here.engine.exec_sync(container, ["touch", "/data/ro/y"])).exit_code != 0
        assert await here.output(container, "cat", "/etc/hosts") == "1.2.3.4 mine\n"

    rig.play(root, scene)


def test_limits_reach_the_cgroup_and_can_be_changed(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        sandbox = await here.engine.run_sandbox(here.sandbox_config(resources=model.Resources(memory_limit_bytes=64 << 20, cpu_shares=512)))
        container = await here.run(sandbox, "sleep", "1000", resources=model.Resources(memory_limit_bytes=32 << 20, pids_limit=50))
        if here.engine._here.cgroups.version == 1:
            folder = Path("/sys/fs/cgroup/memory" + here.engine.container(container).cgroup)
            assert int((folder / "memory.limit_in_bytes").read_text()) == 32 << 20
            assert int((folder.parent / "memory.limit_in_bytes").read_text()) == 64 << 20
            await here.engine.update_resources(container, model.Resources(memory_limit_bytes=48 << 20))
            assert int((folder / "memory.limit_in_bytes").read_text()) == 48 << 20

    rig.play(root, scene)


def test_the_filter_compiled_once_is_the_one_crun_would_have_compiled(root: Path) -> None:
    async def scene(here: rig.Rig) -> None:
        ours = seccomp_bpf.compile_profile(seccomp_default.profile((), os.uname().machine))
        sandbox = await here.engine.run_sandbox(here.sandbox_config())
        used = here.settings.paths.run / "crun" / sandbox / "seccomp.bpf"
        assert used.read_bytes() == ours
        here.engine._here.machine = replace(here.engine._here.machine, compiled_seccomp=False)
        other = await here.engine.run_sandbox(here.sandbox_config("other"))
        assert (here.settings.paths.run / "crun" / other / "seccomp.bpf").read_bytes() == ours

    rig.play(root, scene)

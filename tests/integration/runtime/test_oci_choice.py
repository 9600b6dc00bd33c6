"""Sandboxes of different OCI runtimes beside each other, and cgroups that systemd makes (played by a wrapper around the runtime)."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from podspace import errors, settings
from podspace.linux import cgroups, procfs
from podspace.runtime import engine, model
from tests.integration.runtime import rig

pytestmark = pytest.mark.root


def _with(here: rig.Rig, **changes: object) -> None:
    """The same rig with other settings."""
    here.settings = dataclasses.replace(here.settings, **changes)  # type: ignore[arg-type]
    here.engine = engine.Engine(here.settings, here.images, here.network)


@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
def test_a_handlers_sandbox_is_made_run_entered_and_removed_by_its_program(root: Path) -> None:
    class Two(rig.Rig):
        def __init__(self, place: Path) -> None:
            super().__init__(place)
            _with(self, runtime_handlers={"slow": "runc"})

    async def scene(here: rig.Rig) -> None:
        assert {name: path.name for name, path in here.engine.runtime_handlers.items()} == {"": "crun", "slow": "runc"}
        with pytest.raises(errors.BadRequest, match='no runtime for "other" is configured'):
            await here.engine.run_sandbox(here.sandbox_config("other", runtime_handler="other"))
        for name, handler in (("one", ""), ("two", "slow")):
            sandbox = await here.engine.run_sandbox(here.sandbox_config(name, runtime_handler=handler))
            container = await here.run(sandbox, "sleep", "1000", name=name)
            state = json.loads((here.settings.paths.run / "crun" / container / ("state.json" if handler else "status")).read_text())
            assert ("init_process_pid" in state) == bool(handler)  # in its own runtime's words
            assert await here.output(container, "echo", name) == f"{name}\n"
            await here.engine.update_resources(container, model.Resources(cpu_shares=512))
            await here.engine.stop_container(container, 0)
            assert here.engine.container(container).exit_code == 137

    rig.play(root, scene, make=Two)


SYSTEMD = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
if "--systemd-cgroup" in words:
    words.remove("--systemd-cgroup")
    bundle = next((word.partition("=")[2] for word in words if word.startswith("--bundle=")), "")
    if "--bundle" in words:
        bundle = words[words.index("--bundle") + 1]
    if bundle:
        path = bundle + "/config.json"
        spec = json.load(open(path))
        slice_, prefix, name = spec["linux"]["cgroupsPath"].split(":")
        parts = slice_.removesuffix(".slice").split("-")
        slices = "".join("/" + "-".join(parts[: count + 1]) + ".slice" for count in range(len(parts)))
        spec["linux"]["cgroupsPath"] = slices + "/" + prefix + "-" + name + ".scope"
        json.dump(spec, open(path, "w"))
os.execv({runtime!r}, [{runtime!r}, *words])
"""


def test_with_the_systemd_driver_everything_is_found_where_systemd_put_it(root: Path) -> None:
    class Driven(rig.Rig):
        def __init__(self, place: Path) -> None:
            super().__init__(place)
            wrapper = place / "crun"
            wrapper.write_text(textwrap.dedent(SYSTEMD).format(python=sys.executable, runtime=shutil.which("crun")))
            wrapper.chmod(0o755)
            _with(self, oci_runtime=str(wrapper), cgroup_driver=settings.SYSTEMD)

    async def scene(here: rig.Rig) -> None:
        instance = here.settings.paths.instance
        with pytest.raises(errors.BadRequest, match="is not a slice"):
            await here.engine.run_sandbox(here.sandbox_config(cgroup_parent="/podspace-x"))
        parent = f"/pstest{instance}.slice/pstest{instance}-pod1.slice"
        sandbox = await here.engine.run_sandbox(here.sandbox_config(cgroup_parent=parent))
        try:
            container = await here.run(sandbox, "sh", "-c", "setsid sleep 1001 & sleep 1000")
            await here.output(container, "sh", "-c", "until ps -o args | grep -q '^[s]leep 1001'; do :; done")
            status = here.engine.container(container)
            assert status.cgroup == f"{parent}/podspace-{container}.scope"
            assert {procfs.cmdline(pid)[0] for pid in cgroups.detect().processes(status.cgroup)} >= {"sleep"}
            assert (await here.engine.container_usage(container)).cgroup.memory_bytes
            await here.engine.stop_container(container, 0)
            assert cgroups.detect().processes(status.cgroup) == []
            await here.engine.remove_sandbox(sandbox)
            assert cgroups.detect().children(parent) == []
        finally:
            await here.engine.remove_sandbox(sandbox)
            cgroups.detect().remove(f"/pstest{instance}.slice")

    rig.play(root, scene, make=Driven)

"""Which OCI runtime makes what, and where systemd puts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from podspace import errors, settings
from podspace.runtime import oci_choice, records


def program(folder: Path, name: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("kubepods.slice", "/kubepods.slice"),
        ("kubepods-burstable-pod1_2.slice", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice"),
        ("/kubepods.slice/kubepods-besteffort.slice", "/kubepods.slice/kubepods-besteffort.slice"),
        ("-.slice", ""),
    ],
)
def test_a_slices_name_tells_where_it_is(name: str, place: str) -> None:
    assert oci_choice.is_slice(name)
    assert oci_choice.expand(name) == place


def test_where_a_container_is_and_how_the_runtime_is_told() -> None:
    plain, systemd = records.OciRuntime(), records.OciRuntime(systemd_cgroups=True)
    assert plain.leaf("/podspace/pod1", "c") == plain.oci_path("/podspace/pod1", "c") == "/podspace/pod1/c"
    assert systemd.leaf("/a.slice/a-b.slice", "c") == "/a.slice/a-b.slice/podspace-c.scope"
    assert systemd.oci_path("/a.slice/a-b.slice", "c") == "a-b.slice:podspace:c"


def test_a_handler_is_a_program_and_an_unknown_one_is_refused_by_name(tmp_path: Path) -> None:
    default, other = program(tmp_path, "crun"), program(tmp_path, "gvisor")
    known = oci_choice.Runtimes(default, {"sandboxed": other}, tmp_path / "state")
    assert list(known.handlers) == ["", "sandboxed"]
    assert known.of(known.choose("", systemd_cgroups=False)).program == Path(default)
    assert known.of(known.choose("sandboxed", systemd_cgroups=False)).program == Path(other)
    with pytest.raises(errors.BadRequest, match=r'no runtime for "kata" is configured \(configured: "sandboxed"\)'):
        known.choose("kata", systemd_cgroups=False)
    with pytest.raises(errors.Unsupported, match="no-such is not on PATH"):
        oci_choice.Runtimes(default, {"kata": "no-such"}, tmp_path)


def test_a_sandbox_keeps_its_runtime_when_the_flags_change(tmp_path: Path) -> None:
    before = oci_choice.Runtimes(program(tmp_path, "first"), {}, tmp_path / "state").choose("", systemd_cgroups=True)
    after = oci_choice.Runtimes(program(tmp_path, "second"), {}, tmp_path / "state")
    assert after.of(before).program.name == "first"
    assert "--systemd-cgroup" in after.of(before).global_arguments()
    assert after.default.program.name == "second"
    assert "--systemd-cgroup" not in after.default.global_arguments()


def test_the_default_is_that_of_the_containers_that_run(tmp_path: Path) -> None:
    config = settings.Settings(paths=settings.Paths.under(tmp_path))
    config.paths.run.mkdir()
    (config.paths.run / "oci-runtime").write_text("runc\n")
    assert oci_choice.choose(config).oci_runtime == ""
    (config.paths.run / "oci-runtime").write_text("runc\n")
    (config.paths.run / "sandboxes" / "one").mkdir(parents=True)
    assert oci_choice.choose(config).oci_runtime == "runc"

"""debug and cp against the real API server: containers are processes of the test's machine."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from podspace.cli import copy, failure, remote
from tests.unit.cli.conftest import Cli
from tests.unit.cli.machine import Machine, config_map


@pytest.fixture(scope="module", autouse=True)
def _objects(machine: Machine) -> None:
    machine.pod("web", labels={"app": "web", "tier": "front"})
    machine.pod("two", "first", "second", labels={"app": "two"})
    machine.apply(config_map("colours", {"sky": "blue"}))


def test_debug_adds_an_ephemeral_container(cli: Cli, machine: Machine) -> None:
    machine.pod("sick")
    said = cli("debug", "sick", "--image=busybox", "--target=main", "-c", "doc", "--env=A=b", "--", "sleep", "1")
    assert said.code == 0
    assert said.err.startswith('Targeting container "main".')
    [container] = machine.api.get("/api/v1/namespaces/default/pods/sick")["spec"]["ephemeralContainers"]
    assert container["targetContainerName"] == "main"
    assert container["command"] == ["sleep", "1"]
    assert container["securityContext"] == {"capabilities": {"add": ["SYS_PTRACE"]}}
    assert container["env"] == [{"name": "A", "value": "b"}, {"name": "TARGET_ROOT", "value": "/proc/1/root"}]


def test_debug_in_a_copy_shares_processes(cli: Cli, machine: Machine) -> None:
    cli("debug", "two", "--copy-to=copy", "--image=busybox", "-c", "doc", "--set-image=first=alpine:3")
    spec = machine.api.get("/api/v1/namespaces/default/pods/copy")["spec"]
    assert spec["shareProcessNamespace"] is True
    assert [(each["name"], each["image"]) for each in spec["containers"]] == [
        ("first", "alpine:3"),
        ("second", "busybox:1.28"),
        ("doc", "busybox"),
    ]
    cli("delete", "pod", "copy", "--now")


def test_debug_needs_an_image_and_a_real_target(cli: Cli) -> None:
    assert cli("debug", "web").err == "error: you must specify --image\n"
    assert "not found in pod web" in cli("debug", "web", "--image=x", "--target=nope").err


def test_a_file_goes_there_and_back(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "one.txt").write_text("one")
    assert cli("cp", str(tmp_path / "one.txt"), f"web:{tmp_path}/there").code == 0
    assert (tmp_path / "there/one.txt").read_text() == "one"
    assert cli("cp", f"web:{tmp_path}/there/one.txt", str(tmp_path / "back.txt")).code == 0
    assert (tmp_path / "back.txt").read_text() == "one"


def test_a_folder_goes_there_and_back(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "deep").mkdir(parents=True)
    (source / "deep/x").write_bytes(bytes(range(256)))
    (source / "link").symlink_to("deep/x")
    assert cli("cp", str(source), f"default/web:{tmp_path}/dst").code == 0
    assert (tmp_path / "dst/deep/x").read_bytes() == bytes(range(256))
    said = cli("cp", f"web:{tmp_path}/dst", str(tmp_path / "again"))
    assert (tmp_path / "again/deep/x").read_bytes() == bytes(range(256))
    assert "neither a file nor a folder" in said.err


def test_a_copy_of_nothing_fails(cli: Cli, tmp_path: Path) -> None:
    assert "doesn't exist in local filesystem" in cli("cp", str(tmp_path / "no"), "web:/tmp/x").err
    said = cli("cp", f"web:{tmp_path}/no", str(tmp_path / "x"))
    assert said.code == 2
    assert "Cannot stat" in said.err
    assert "one of src or dest must be a remote file specification" in cli("cp", "a", "b").err


def test_what_a_container_sends_stays_in_the_destination(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("data/ok", "data/../../evil"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar, pytest.raises(failure.Failure, match="outside of the destination"):
        copy.unpack(tar, "data", tmp_path / "into")
    assert (tmp_path / "into/ok").read_text() == "x"
    assert not (tmp_path / "evil").exists()


def _sent(*members: tuple[str, bytes, str]) -> bytes:
    """A tarball of (name, type, link name)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo("data/x")
            member.type, member.linkname = kind, link
            member.pax_headers = {"path": name}
            tar.addfile(member)
    return archive.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(_sent(("data/a", tarfile.LNKTYPE, "/etc/passwd")), id="a hard link to a file of this machine"),
        pytest.param(_sent(("data/a", tarfile.LNKTYPE, "data/a")), id="a hard link to itself"),
        pytest.param(_sent(("data/a\0b", tarfile.REGTYPE, "")), id="a NUL in a name"),
        pytest.param(_sent(("data/../../a", tarfile.REGTYPE, "")), id="a way up"),
        pytest.param(b"no tarball at all" * 100, id="something else"),
        pytest.param(_sent(("data/a", tarfile.REGTYPE, ""))[:700], id="half a tarball"),
    ],
)
def test_no_archive_of_a_container_makes_more_than_a_line(tmp_path: Path, archive: bytes) -> None:
    def execute(command: Sequence[str], ends: remote.Ends, quiet: bool = False) -> int:
        os.write(ends.stdout, archive)
        return 0

    with contextlib.suppress(failure.Failure):
        copy.download(execute, "/data", tmp_path / "into")
    assert {path.name for path in tmp_path.rglob("*")} <= {"into", "a", "a b"}
    assert not any(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_link_in_an_archive_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    archive = _sent(("data/l", tarfile.SYMTYPE, str(tmp_path / "outside")), ("data/l/evil", tarfile.REGTYPE, ""))

    def execute(command: Sequence[str], ends: remote.Ends, quiet: bool = False) -> int:
        os.write(ends.stdout, archive)
        return 0

    assert copy.download(execute, "/data", tmp_path / "into") == 0
    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "into/l").is_dir()
    assert not (tmp_path / "into/l").is_symlink()

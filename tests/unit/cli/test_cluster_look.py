"""What comes out of a Pod of any cluster: an archive whose names are made those that were asked for."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from podspace.cli import cluster_look, copy, failure, inside_files


def _archive(*members: tuple[str, str, bytes]) -> io.BytesIO:
    """(name, what it is a hard link to, content)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        folder = tarfile.TarInfo("./real")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, link, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if link:
                member.type, member.linkname = tarfile.LNKTYPE, link
            tar.addfile(member, io.BytesIO(content))
    made.seek(0)
    return made


def test_hard_links_are_led_to_the_names_that_were_asked_for(tmp_path: Path) -> None:
    renamed = cluster_look._renamed(_archive(("./real/a", "", b"x"), ("./real/b", "./real/a", b"")), "srv/link")
    with renamed, tarfile.open(fileobj=renamed) as tar:
        copy.unpack(tar, "srv/link", tmp_path / "here")
    assert {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()} == {"a": b"x", "b": b"x"}


def test_a_name_that_a_container_chose_does_not_reach_the_terminal_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("srv/\x1b[2J")
        member.type = tarfile.FIFOTYPE
        tar.addfile(member)
    made.seek(0)
    with tarfile.open(fileobj=made) as tar:
        copy.unpack(tar, "srv", tmp_path)
    assert capsys.readouterr().err == 'warning: skipping "srv/\\x1b[2J": neither a file nor a folder\n'


@pytest.mark.parametrize(
    "printed", [b"=81a4 0\n", b"=\n", b"=zz 0 0 0 0\tx\n", b"=81a4 0 0 0 " + b"9" * 5000 + b"\tx\n", b"=" + b"f" * 40 + b" 0 0 0 0\tx\n"]
)
def test_what_an_odd_image_prints_is_said_to_be_unreadable(printed: bytes) -> None:
    with pytest.raises(failure.Failure, match=r"image odd:1 printed cannot be read .*--lens-image"), cluster_look._understood("odd:1"):
        inside_files.listing(printed, 1, "/", 10)

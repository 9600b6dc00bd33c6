"""Layers unpacked: what the tar says, in overlayfs's words, and nothing outside the folder, whatever the tar says."""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from podspace import errors
from podspace.image import unpack
from podspace.image.tarstream import TarStream
from tests.unit.image import tars
from tests.unit.image.tars import Member, file, folder, hard_link, symlink

needs_root = pytest.mark.root
CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[Path]:
    """A layer's folder between neighbours that nobody may touch."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    (outside / "secret").chmod(0o600)
    made = tmp_path / "layer"
    made.mkdir()
    before = picture(outside)
    yield made
    assert picture(outside) == before
    assert sorted(os.listdir(tmp_path)) == ["layer", "outside"]


def picture(place: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for path in sorted([place, *place.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((path.name, status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns, content))
    return found


def apply(layer: Path, members: Sequence[Member], *, format: int = tarfile.PAX_FORMAT) -> tuple[tuple[str, ...], ...]:
    writer = unpack.LayerWriter(layer)
    try:
        stream = TarStream(writer)
        stream.feed(tars.make(members, format=format))
        stream.finish()
        return writer.finish()
    finally:
        writer.close()


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path) and os.getxattr(path, "trusted.overlay.opaque") == b"y"


def test_files_folders_and_links_are_made_with_mode_and_time(layer: Path) -> None:
    apply(
        layer,
        [
            folder("./", mode=0o711, mtime=5),
            folder("etc/", mode=0o1777, mtime=1_000_000_000),
            file("etc/f", b"content", mode=0o640, pax={"mtime": "1500000000.123456789"}),
            file("etc/suid", b"", mode=0o6755),
            symlink("etc/l", "../../nowhere"),
            hard_link("h", "etc/f"),
            Member(name="p", kind=tarfile.FIFOTYPE, mode=0o600),
        ],
    )
    assert stat.S_IMODE(layer.stat().st_mode) == 0o711
    assert layer.stat().st_mtime == 5
    assert stat.S_IMODE((layer / "etc").stat().st_mode) == 0o1777
    assert (layer / "etc").stat().st_mtime == 1_000_000_000
    assert (layer / "etc/f").read_bytes() == b"content"
    assert (layer / "etc/f").stat().st_mtime_ns == 1_500_000_000_123_456_789
    assert stat.S_IMODE((layer / "etc/f").stat().st_mode) == 0o640
    assert stat.S_IMODE((layer / "etc/suid").stat().st_mode) == 0o6755
    assert os.readlink(layer / "etc/l") == "../../nowhere"
    assert (layer / "etc/l").lstat().st_mtime == 1_700_000_000
    assert (layer / "h").samefile(layer / "etc/f")
    assert stat.S_ISFIFO((layer / "p").stat().st_mode)


@needs_root
def test_owners_devices_and_capabilities_are_kept(layer: Path) -> None:
    apply(
        layer,
        [
            file("ping", b"elf", mode=0o4755, uid=101, gid=3_000_000_000, pax={"SCHILY.xattr.security.capability": CAPABILITY.decode()}),
            folder("home", uid=1000, gid=1000),
            Member(name="null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666, uid=0, gid=5),
            symlink("l", "x"),
        ],
    )
    ping = (layer / "ping").stat()
    assert (ping.st_uid, ping.st_gid, stat.S_IMODE(ping.st_mode)) == (101, 3_000_000_000, 0o4755)
    assert os.getxattr(layer / "ping", "security.capability") == CAPABILITY
    assert (layer / "home").stat().st_uid == 1000
    null = (layer / "null").stat()
    assert (null.st_rdev, stat.S_IMODE(null.st_mode), null.st_gid) == (os.makedev(1, 3), 0o666, 5)


def test_only_harmless_attributes_are_set(layer: Path) -> None:
    names = ("user.note", "trusted.overlay.redirect", "trusted.overlay.opaque", "security.selinux", "user.overlay.opaque", "system.x")
    apply(layer, [folder("d", pax={f"SCHILY.xattr.{name}": "/etc" for name in names})])
    assert set(os.listxattr(layer / "d")) <= {"user.note"}


@needs_root
def test_whiteouts_become_devices_and_opaque_marks_become_attributes(layer: Path) -> None:
    apply(
        layer, [folder("d"), file("d/.wh.gone"), file(".wh.also"), folder("o"), file("o/.wh..wh..opq"), file("o/new"), file(".wh..wh.plnk")]
    )
    assert is_whiteout(layer / "d/gone")
    assert is_whiteout(layer / "also")
    assert is_opaque(layer / "o")
    assert not is_opaque(layer / "d")
    assert sorted(path.name for path in layer.rglob("*")) == ["also", "d", "gone", "new", "o"]


@needs_root
@pytest.mark.parametrize("whiteout_first", [True, False])
def test_a_folder_made_anew_hides_what_lower_layers_had_in_it(layer: Path, whiteout_first: bool) -> None:
    members = [file(".wh.d"), folder("d"), file("d/f", b"new")]
    apply(layer, members if whiteout_first else [*members[1:], members[0]])
    assert is_opaque(layer / "d")
    assert (layer / "d/f").read_bytes() == b"new"


@needs_root
def test_a_whiteout_does_not_take_what_the_layer_itself_brings(layer: Path) -> None:
    apply(layer, [file("f", b"new"), file(".wh.f")])
    assert (layer / "f").read_bytes() == b"new"


def test_the_last_entry_of_a_name_wins(layer: Path) -> None:
    apply(layer, [file("f", b"1"), hard_link("h", "f"), file("f", b"2"), folder("x"), file("x/y"), file("x", b"3"), file("z"), folder("z")])
    assert (layer / "f").read_bytes() == b"2"
    assert (layer / "h").read_bytes() == b"1"
    assert (layer / "x").read_bytes() == b"3"
    assert (layer / "z").is_dir()


def test_a_folder_mentioned_again_keeps_what_is_in_it(layer: Path) -> None:
    apply(layer, [folder("d"), file("d/f"), folder("d", mode=0o700)])
    assert (layer / "d/f").exists()
    assert stat.S_IMODE((layer / "d").stat().st_mode) == 0o700


def test_folders_nobody_described_are_reported(layer: Path) -> None:
    assert apply(layer, [file("a/b/f"), folder("a")]) == ((), ("a", "b"))
    assert stat.S_IMODE((layer / "a/b").stat().st_mode) == 0o755


def test_such_folders_are_described_by_the_layers_below(layer: Path, tmp_path: Path) -> None:
    implied = apply(layer, [file("tmp/f"), file("only/here/f")])
    lower = tmp_path / "layer" / "lower"  # inside, for the fixture's sake
    lower.mkdir()
    lowest, middle = lower / "1", lower / "2"
    for place, mode in ((lowest, 0o1777), (middle, 0o700)):
        (place / "tmp").mkdir(parents=True)
        (place / "tmp").chmod(mode)
    unpack.describe_from([middle, lowest], layer, implied)
    assert stat.S_IMODE((layer / "tmp").stat().st_mode) == 0o700
    unpack.describe_from([lowest], layer, implied)
    assert stat.S_IMODE((layer / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((layer / "only/here").stat().st_mode) == 0o755


def test_links_lead_to_folders_inside_the_layer_only(layer: Path) -> None:
    apply(layer, [folder("usr/lib"), symlink("lib", "usr/lib"), symlink("abs", "/usr"), file("lib/f", b"1"), file("abs/lib/g", b"2")])
    assert (layer / "usr/lib/f").read_bytes() == b"1"
    assert (layer / "usr/lib/g").read_bytes() == b"2"
    assert (layer / "lib").is_symlink()


HOSTILE: dict[str, list[Member]] = {
    "dots": [file("../outside/secret", b"evil")],
    "dots inside": [folder("a"), file("a/../../outside/secret", b"evil")],
    "many dots": [file("../" * 40 + "tmp/podspace-evil", b"evil")],
    "absolute": [file("/outside/secret", b"evil")],
    "symlink to parent": [symlink("l", ".."), file("l/outside/secret", b"evil")],
    "symlink to absolute": [symlink("l", "{outside}"), file("l/secret", b"evil")],
    "symlink with dots": [folder("a"), symlink("a/l", "../../outside"), file("a/l/secret", b"evil")],
    "chain of symlinks": [symlink("a", "b"), symlink("b", "c"), symlink("c", ".."), file("a/outside/secret", b"evil")],
    "symlink overwritten by file": [symlink("f", "{outside}/secret"), file("f", b"evil")],
    "symlink described as folder": [symlink("d", "{outside}"), folder("d", mode=0o777), file("d/secret", b"evil")],
    "root as symlink": [symlink(".", "{outside}"), file("secret", b"evil")],
    "root as symlink by slash": [symlink("/", "{outside}"), file("secret", b"evil")],
    "hard link out": [hard_link("h", "../outside/secret"), file("h", b"evil")],
    "hard link absolute": [hard_link("h", "{outside}/secret"), file("h", b"evil")],
    "hard link through symlink": [symlink("l", "{outside}"), hard_link("h", "l/secret")],
    "hard link to symlink": [symlink("l", "{outside}/secret"), hard_link("h", "l"), file("h", b"evil")],
    "hard link onto a folder": [folder("d"), hard_link("h", "d")],
    "hard link to root": [hard_link("h", ".")],
    "hard link to nothing": [hard_link("h", "nothing")],
    "whiteout out": [file("../outside/.wh.secret")],
    "whiteout through symlink": [symlink("l", "{outside}"), file("l/.wh.secret")],
    "whiteout of dots": [file(".wh...")],
    "whiteout of here": [file(".wh..")],
    "whiteout of nothing": [file(".wh.")],
    "opaque through symlink": [symlink("l", "{outside}"), file("l/.wh..wh..opq")],
    "device through symlink": [symlink("l", "{outside}"), Member(name="l/dev", kind=tarfile.FIFOTYPE)],
    "folder through symlink": [symlink("l", "{outside}"), folder("l/new/deep")],
    "times through symlink": [folder("d", mtime=9), symlink("d", "{outside}")],
    "proc": [symlink("l", "/proc/self/root"), file("l/tmp/podspace-evil", b"evil")],
    "proc fd": [symlink("l", "/proc/self/cwd"), file("l/podspace-evil", b"evil")],
    "loop": [symlink("a", "b"), symlink("b", "a"), file("a/f", b"evil")],
    "folder swapped under a kept descriptor": [folder("d"), file("d/a"), symlink("d", "{outside}"), file("d/secret", b"evil")],
    "name with nul": [file("x", pax={"path": "a\0b"})],
    "target with nul": [symlink("l", ""), Member(name="m", kind=tarfile.SYMTYPE, pax={"linkpath": "a\0b"})],
    "attribute with nul": [file("x", pax={"SCHILY.xattr.user.a\0b": "v"})],
    "name too long": [file("x" * 300)],
    "empty name": [file("", b"evil")],
    "negative owner": [file("f", uid=-1)],
    "owner that means nobody": [file("f", uid=0xFFFFFFFF)],
    "huge owner": [file("f", uid=1 << 40)],
    "wild time": [file("f", pax={"mtime": "99999999999999999999"}), folder("d", pax={"mtime": "-99999999999999999999"})],
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_no_name_leads_outside(layer: Path, what: str) -> None:
    outside = str(layer.parent / "outside")
    members = [
        Member(
            name=each.name, data=each.data, kind=each.kind, mode=each.mode, uid=each.uid, gid=each.gid, mtime=each.mtime, pax=each.pax,
            target=each.target.replace("{outside}", outside),
        )
        for each in HOSTILE[what]
    ]  # fmt: skip
    format = tarfile.GNU_FORMAT if any(each.uid < 0 for each in members) else tarfile.PAX_FORMAT
    with contextlib.suppress(errors.BadRequest, errors.Unavailable):  # what is not refused has to be harmless
        apply(layer, members, format=format)
    assert not Path("/tmp/podspace-evil").exists()
    assert not Path("podspace-evil").exists()


def test_a_refusal_names_the_entry(layer: Path) -> None:
    with pytest.raises(errors.BadRequest, match=r"refusing '\.\./x'"):
        apply(layer, [file("../x")])


def test_a_full_disk_is_the_machines_fault(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(errors.Unavailable, match="cannot write 'f': No space left on device"):
        apply(layer, [file("f", b"x")])
    monkeypatch.undo()

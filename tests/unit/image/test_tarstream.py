"""Tars as they arrive: cut anywhere, of every dialect, damaged, hostile."""

from __future__ import annotations

import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from podspace import errors
from podspace.image.tarstream import Entry, Kind, TarStream
from tests.unit.image import tars


class Collector:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.contents: list[bytes] = []
        self.finished = 0

    def entry(self, entry: Entry, /) -> None:
        self.entries.append(entry)
        self.contents.append(b"")

    def data(self, data: memoryview, /) -> None:
        self.contents[-1] += data

    def done(self) -> None:
        self.finished += 1


def read(tar: bytes, *, step: int | None = None) -> Collector:
    collector = Collector()
    stream = TarStream(collector)
    step = step or len(tar) or 1
    for start in range(0, len(tar), step):
        stream.feed(tar[start : start + step])
    stream.finish()
    assert collector.finished == len(collector.entries)
    return collector


LONG = "/".join(["a-rather-long-folder-name"] * 8) + "/file"
MEMBERS = (
    tars.folder("etc/"),
    tars.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n", uid=0, gid=42, mode=0o4755),
    tars.file("empty"),
    tars.file(LONG, b"deep" * 1000),
    tars.file("ünï/码", b"x" * 512),
    tars.symlink("link", LONG),
    tars.hard_link("hard", "etc/passwd"),
    tars.Member(name="null", kind=tarfile.CHRTYPE, device=(1, 3)),
    tars.Member(name="disk", kind=tarfile.BLKTYPE, device=(8, 17)),
    tars.Member(name="pipe", kind=tarfile.FIFOTYPE),
)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("step", [1, 7, 511, 512, 513, 4096, None])
def test_entries_come_out_as_they_went_in_however_the_stream_is_cut(format: int, step: int | None) -> None:
    found = read(tars.make(MEMBERS, format=format), step=step)
    for entry, content, member in zip(found.entries, found.contents, MEMBERS, strict=True):
        assert entry.name.rstrip("/") == member.name.rstrip("/")
        assert entry.kind.value == member.kind
        assert (entry.mode, entry.uid, entry.gid, entry.target) == (member.mode, member.uid, member.gid, member.target)
        assert entry.mtime_nanos == 1_700_000_000_000_000_000
        assert content == member.data
        if entry.kind in (Kind.CHARACTER, Kind.BLOCK):
            assert entry.device == member.device


def test_ustar_names_have_a_prefix() -> None:
    name = "/".join(["folder"] * 20) + "/" + "f" * 90
    assert [each.name for each in read(tars.make([tars.file(name)], format=tarfile.USTAR_FORMAT)).entries] == [name]


@pytest.mark.parametrize("format", ["gnu", "posix", "ustar", "v7", "oldgnu"])
def test_what_gnu_tar_writes_is_read(tmp_path: Path, format: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(b"content")
    (tmp_path / "d/link").symlink_to("file")
    tar = subprocess.run(["tar", f"--format={format}", "-cf", "-", "-C", str(tmp_path), "d"], check=True, capture_output=True).stdout
    found = read(tar)
    assert {entry.name.rstrip("/"): entry.kind for entry in found.entries} == {
        "d": Kind.FOLDER,
        "d/file": Kind.REGULAR,
        "d/link": Kind.SYMLINK,
    }
    assert b"content" in found.contents


def test_times_keep_their_nanoseconds() -> None:
    member = tars.file("f", pax={"mtime": "1700000000.123456789"})
    assert read(tars.make([member])).entries[0].mtime_nanos == 1_700_000_000_123_456_789
    member = tars.file("f", pax={"mtime": "-1.5"})
    assert read(tars.make([member])).entries[0].mtime_nanos == -1_500_000_000


def test_big_ids_are_read_in_both_dialects() -> None:
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        (entry,) = read(tars.make([tars.file("f", uid=4_000_000_000, gid=3_000_000_000)], format=format)).entries
        assert (entry.uid, entry.gid) == (4_000_000_000, 3_000_000_000)


def test_extended_attributes_may_hold_any_byte() -> None:
    value = b"\x01\x00\x00\x02\xff\n=\x00 "
    member = tars.file("f", pax={"SCHILY.xattr.security.capability": value.decode(errors="surrogateescape")})
    buffer = tars.make([member])
    assert read(buffer).entries[0].xattrs == {"security.capability": value}


def test_names_that_are_not_utf8_keep_their_bytes() -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    assert read(tars.make([tars.file(name)], format=tarfile.GNU_FORMAT)).entries[0].name == name


def test_global_headers_hold_for_what_follows() -> None:
    tar = tars.make([tars.file("f")])
    header = tarfile.TarInfo.create_pax_global_header({"SCHILY.xattr.user.x": "y"})
    assert read(header + tar).entries[0].xattrs == {"user.x": b"y"}


def test_an_empty_tar_has_no_entries() -> None:
    assert read(b"").entries == []
    assert read(bytes(1024)).entries == []
    assert read(bytes(10240)).entries == []


def test_what_follows_the_end_is_not_looked_at() -> None:
    assert len(read(tars.make([tars.file("f")]) + b"junk" * 1000).entries) == 1


@pytest.mark.parametrize("cut", [100, 512, 600, 1000, 1536 + 100])
def test_a_cut_tar_is_noticed(cut: int) -> None:
    tar = tars.make([tars.file("f", b"x" * 700)], format=tarfile.GNU_FORMAT)
    if cut == 512 * 3:
        return
    with pytest.raises(errors.BadRequest):
        read(tar[:cut])


def test_a_damaged_header_is_noticed() -> None:
    tar = bytearray(tars.make([tars.file("f"), tars.file("g")]))
    tar[512] ^= 0xFF
    with pytest.raises(errors.BadRequest, match="checksum"):
        read(bytes(tar))


def test_an_extended_header_does_not_eat_the_memory() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(errors.BadRequest, match="extended header"):
        read(info.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize("type_flag", [b"S", b"V", b"M", b"D"])
def test_types_that_images_do_not_have_are_refused_by_name(type_flag: bytes) -> None:
    with pytest.raises(errors.BadRequest, match="'odd'"):
        read(tars.make([tars.Member(name="odd", kind=type_flag)], format=tarfile.GNU_FORMAT))


def test_noise_is_an_error_of_ours_and_nothing_else() -> None:
    chance = random.Random(7)
    tar = tars.make(MEMBERS)
    for _ in range(300):
        noisy = bytearray(tar)
        for _ in range(chance.randrange(1, 6)):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        try:
            read(bytes(noisy), step=chance.choice([77, 512, 5000]))
        except errors.BadRequest:
            continue


def test_noise_under_a_good_checksum_is_an_error_of_ours_and_nothing_else() -> None:
    chance = random.Random(11)
    tar = tars.make(MEMBERS, format=tarfile.GNU_FORMAT)
    for _ in range(500):
        noisy = bytearray(tar)
        start = 512 * chance.randrange(3)
        for _ in range(chance.randrange(1, 4)):
            noisy[start + chance.randrange(512)] = chance.randrange(256)
        block = noisy[start : start + 512]
        noisy[start + 148 : start + 156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
        try:
            read(bytes(noisy))
        except errors.BadRequest:
            continue

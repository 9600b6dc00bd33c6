"""A layer in one pass: decompressed whatever it is compressed with, and believed only when both digests fit."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest
import zstandard

from podspace import errors
from podspace.image import compression
from podspace.image.extraction import Extraction
from tests.unit.image import tars

TAR = tars.make([tars.folder("./"), tars.file("f", b"content" * 5000), tars.file("noise", random.Random(1).randbytes(100_000))])


def frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def skippable(data: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def members(data: bytes) -> bytes:
    """A gzip member per kilobyte, as eStargz has one per file."""
    return b"".join(gzip.compress(data[start : start + 1024]) for start in range(0, len(data), 1024))


BLOBS = {
    "plain": TAR,
    "gzip": gzip.compress(TAR),
    "gzip members": members(TAR),
    "gzip padded": gzip.compress(TAR) + bytes(1000),
    "zstd": frame(TAR),
    "zstd frames": frame(TAR[:70_000]) + skippable(b"table of contents") + frame(TAR[70_000:]) + skippable(b"footer"),
    "zstd skippable first": skippable(b"x") + frame(TAR),
}


def extract(folder: Path, blob: bytes, *, step: int = 30_000, diff_id: str = "", digest: str = "", size: int | None = None) -> None:
    folder.mkdir(exist_ok=True)
    extraction = Extraction(folder, diff_id=diff_id or tars.digest(TAR), digest=digest or tars.digest(blob), size=size)
    try:
        for start in range(0, len(blob), step):
            extraction.feed(blob[start : start + step])
        extraction.finish()
    finally:
        extraction.close()


@pytest.mark.parametrize("kind", BLOBS)
@pytest.mark.parametrize("step", [1000, 65_537, 10_000_000])
def test_every_compression_comes_out_the_same(tmp_path: Path, kind: str, step: int) -> None:
    extract(tmp_path / "layer", BLOBS[kind], step=step, size=len(BLOBS[kind]))
    assert (tmp_path / "layer/f").read_bytes() == b"content" * 5000
    assert (tmp_path / "layer/noise").stat().st_size == 100_000


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zstd skippable first"])
def test_the_first_bytes_may_come_one_by_one(tmp_path: Path, kind: str) -> None:
    out = bytearray()
    sniffer = compression.Sniffer(out.extend)
    for byte in BLOBS[kind]:
        sniffer.feed(bytes([byte]))
    sniffer.finish()
    assert bytes(out) == TAR


def test_nothing_at_all_is_plain_nothing() -> None:
    out = bytearray()
    compression.Sniffer(out.extend).finish()
    assert out == b""


@pytest.mark.parametrize("kind", ["gzip", "gzip members", "zstd"])
def test_a_cut_blob_is_noticed_even_without_its_size(tmp_path: Path, kind: str) -> None:
    blob = BLOBS[kind][:-5]
    with pytest.raises(errors.BadRequest, match=r"unexpected end|damaged"):
        extract(tmp_path / "layer", blob, digest=tars.digest(blob))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_damaged_blob_is_noticed(tmp_path: Path, kind: str) -> None:
    blob = bytearray(BLOBS[kind])
    blob[len(blob) // 2] ^= 0xFF
    with pytest.raises((errors.BadRequest, errors.FailedPrecondition)):
        extract(tmp_path / "layer", bytes(blob), digest=tars.digest(bytes(blob)))


def test_a_blob_with_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.FailedPrecondition, match="unexpected digest"):
        extract(tmp_path / "layer", BLOBS["gzip"], digest=tars.digest(b"other"))


def test_a_tar_with_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.FailedPrecondition, match="unexpected diff id"):
        extract(tmp_path / "layer", BLOBS["gzip"], diff_id=tars.digest(b"other"))


@pytest.mark.parametrize("off", [-1, 1])
def test_a_blob_of_another_size_is_refused(tmp_path: Path, off: int) -> None:
    with pytest.raises(errors.FailedPrecondition, match=r"more than|instead of"):
        extract(tmp_path / "layer", BLOBS["gzip"], size=len(BLOBS["gzip"]) + off)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_comes_out_in_small_pieces(kind: str) -> None:
    bomb = gzip.compress(bytes(64 << 20)) if kind == "gzip" else frame(bytes(64 << 20))
    sizes: list[int] = []
    sniffer = compression.Sniffer(lambda piece: sizes.append(len(piece)))
    sniffer.feed(bomb)
    sniffer.finish()
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20

"""Which rotated logs are kept, compressed and removed; and that none is ever half there."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from podspace.node import log_files
from podspace.node.log_files import Plan


@pytest.mark.parametrize(
    ("rotated", "max_files", "wanted"),
    [
        ([], 5, Plan()),
        (["0.log.1"], 5, Plan(compress=("0.log.1",))),
        (["0.log.2", "0.log.1.gz"], 5, Plan(compress=("0.log.2",))),
        (["0.log.2", "0.log.1.gz"], 3, Plan(remove=("0.log.1.gz",), compress=("0.log.2",))),
        (["0.log.2", "0.log.1.gz"], 2, Plan(remove=("0.log.1.gz", "0.log.2"))),
        (["0.log.1", "0.log.1.gz.tmp"], 5, Plan(remove=("0.log.1.gz.tmp",), compress=("0.log.1",))),
        (["0.log.1", "0.log.1.gz"], 5, Plan(remove=("0.log.1",))),
    ],
)
def test_what_is_kept(rotated: list[str], max_files: int, wanted: Plan) -> None:
    assert log_files.plan(rotated, max_files=max_files) == wanted


def test_a_log_is_set_aside_compressed_and_in_the_end_removed(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("first\n")
    first = log_files.set_aside(log)
    log.write_text("second\n")
    second = log_files.set_aside(log)  # within the same second
    assert first != second
    log.write_text("third\n")
    log_files.tidy(log, max_files=5)
    assert sorted(log_files.rotated(log)) == sorted(f"{path.name}.gz" for path in (first, second))
    assert gzip.decompress(first.with_name(f"{first.name}.gz").read_bytes()) == b"first\n"
    (tmp_path / "0.logs").write_text("another's\n")
    log_files.remove(log)
    assert [path.name for path in tmp_path.iterdir()] == ["0.logs"]


def test_the_file_that_goes_on_is_found_whatever_became_of_it(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("one\n")
    with log.open("rb") as reader:
        assert log_files.successor(log, log_files.name_of(reader)) is None
        first = log_files.set_aside(log)
        assert log_files.successor(log, log_files.name_of(reader)) == log  # although it is not there yet
        log.write_text("two\n")
        second = log_files.set_aside(log)
        assert log_files.successor(log, first.name) == second
        log.write_text("three\n")
        log_files.tidy(log, max_files=5)  # the first is compressed under its reader
        following = log_files.successor(log, log_files.name_of(reader))
        assert following == second.with_name(f"{second.name}.gz")
    with log_files.open_log(following) as reader:
        assert reader.read() == b"two\n"
        assert log_files.successor(log, log_files.name_of(reader)) == log

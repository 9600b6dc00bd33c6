"""Measuring folders whose owner would rather not have them measured."""

from __future__ import annotations

import os
from pathlib import Path

from podspace.runtime import disk_usage


def test_files_are_counted_once_and_links_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    (outside / "large").write_bytes(b"x" * 500_000)
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(b"x" * 100_000)
    os.link(folder / "inner" / "file", folder / "again")
    (folder / "link").symlink_to(outside)
    usage = disk_usage.walk(folder)
    assert 100_000 <= usage.bytes < 200_000
    assert usage.inodes == 3


def test_no_depth_of_folders_hides_what_is_in_them(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(60):
        name = "d" * 200
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    hidden = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.write(hidden, b"x" * 300_000)
    os.close(hidden)
    os.close(fd)
    usage = disk_usage.walk(tmp_path)
    assert usage.bytes >= 300_000
    assert usage.inodes == 61


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert disk_usage.walk(tmp_path / "none").bytes == 0

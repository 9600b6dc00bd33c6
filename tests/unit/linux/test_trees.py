"""Deleting trees that were made to resist."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podspace.linux import trees


def _nest(folder: Path, depth: int) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_a_tree_deeper_than_any_recursion_or_table_of_descriptors_is_deleted(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    _nest(victim, 3000)
    trees.remove(victim)
    assert list(tmp_path.iterdir()) == []


def test_links_are_deleted_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "folder").mkdir(parents=True)
    victim = tmp_path / "victim"
    (victim / "inner").mkdir(parents=True)
    (victim / "link").symlink_to(kept)
    (victim / "inner" / "link").symlink_to("../../kept/folder")
    trees.remove(victim)
    assert [path.name for path in kept.iterdir()] == ["folder"]
    assert not victim.exists()


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        trees.remove(tmp_path / "link")
    trees.remove_quietly(tmp_path / "link")
    assert (tmp_path / "kept").is_dir()


def test_wide_folders_and_names_from_below(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "victim" / "x" / "x").mkdir(parents=True)
    for number in range(2100):
        (tmp_path / "victim" / f"f{number}").touch()
    trees.remove("victim", dir_fd=folder)
    trees.remove("victim", dir_fd=folder)
    os.close(folder)
    assert not (tmp_path / "victim").exists()


def test_what_somebody_else_removes_at_the_same_time_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work/inner/incompat").mkdir(parents=True)
    rename = os.rename

    def too_late(name: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.rmdir(name, dir_fd=src_dir_fd) if name == "incompat" else None
        rename(name, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", too_late)
    trees.remove(tmp_path / "work")
    assert not (tmp_path / "work").exists()

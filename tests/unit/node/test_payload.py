from __future__ import annotations

from pathlib import Path

from podspace.node import payload
from podspace.node.payload import File


def read(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith("..")}


def test_files_appear_through_one_symlink(tmp_path: Path) -> None:
    assert payload.write(tmp_path / "v", {"a": File(b"1", 0o644), "b": File(b"2", 0o400)})
    assert read(tmp_path / "v") == {"a": b"1", "b": b"2"}
    assert (tmp_path / "v" / "a").readlink() == Path("..data/a")
    assert (tmp_path / "v" / "b").stat().st_mode & 0o777 == 0o400


def test_an_update_replaces_all_files_at_once_and_leaves_nothing_old(tmp_path: Path) -> None:
    payload.write(tmp_path, {"a": File(b"1", 0o644), "gone": File(b"x", 0o644)})
    before = (tmp_path / "..data").readlink()
    assert payload.write(tmp_path, {"a": File(b"2", 0o644)})
    assert read(tmp_path) == {"a": b"2"}
    assert not (tmp_path / before).exists()


def test_the_same_content_changes_nothing(tmp_path: Path) -> None:
    payload.write(tmp_path, {"a": File(b"1", 0o644)})
    before = (tmp_path / "..data").readlink()
    assert not payload.write(tmp_path, {"a": File(b"1", 0o644)})
    assert (tmp_path / "..data").readlink() == before


def test_paths_with_folders_are_reached_through_their_first_part(tmp_path: Path) -> None:
    payload.write(tmp_path, {"dir/sub/file": File(b"1", 0o644)})
    assert (tmp_path / "dir" / "sub" / "file").read_bytes() == b"1"
    assert (tmp_path / "dir").is_symlink()


def test_a_folder_that_is_sticky_stays_so(tmp_path: Path) -> None:
    """A tmpfs is made that way, and a kubelet leaves it."""
    tmp_path.chmod(0o1700)
    payload.write(tmp_path, {"a": File(b"1", 0o644)})
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777

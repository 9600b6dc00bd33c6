"""What is not as in the image, from an upper folder and layers (without whiteouts, which only root makes)."""

from __future__ import annotations

import os
from pathlib import Path

from podspace.lens import changes


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    folder.mkdir(exist_ok=True)
    return folder


def found(upper: Path, *layers: Path, mounted: frozenset[bytes] = frozenset(), below: str = "/") -> list[tuple[str, str]]:
    answer = changes.since_image(upper, layers, mounted, below)
    return [(entry["change"], entry["path"]) for entry in answer["changes"]]


def test_what_the_image_has_is_changed_and_the_rest_added(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "etc/passwd", "etc/group")
    upper = made(tmp_path / "upper", "etc/passwd", "etc/new", "var/log/x")
    assert found(upper, image) == [
        ("Added", "/etc/new"),
        ("Changed", "/etc/passwd"),
        ("Added", "/var"),
        ("Added", "/var/log"),
        ("Added", "/var/log/x"),
    ]
    assert found(upper, image, below="/var/log") == [("Added", "/var/log"), ("Added", "/var/log/x")]


def test_what_was_made_to_mount_on_is_no_change(tmp_path: Path) -> None:
    upper = made(tmp_path / "upper", "etc/hosts", "data/volume/x")
    assert found(upper, tmp_path / "upper" / "data", mounted=frozenset({b"/etc/hosts", b"/data/volume"})) == []


def test_a_symlink_in_a_layer_leads_nowhere(tmp_path: Path) -> None:
    image = made(tmp_path / "image")
    os.symlink("/etc", image / "etc")
    upper = made(tmp_path / "upper", "etc/passwd")
    assert ("Added", "/etc/passwd") in found(upper, image)

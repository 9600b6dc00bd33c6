"""What is taken away with a Pod's folder is the Pod's, and all of it: whatever the host has mounted meanwhile, wherever the folder lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from podspace.linux import mounts, syscalls
from tests.support.mountview import in_child

pytestmark = pytest.mark.root


def _alone() -> None:
    """In mounts of one's own, of which nobody else is told."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def test_the_hosts_disk_below_a_part_of_a_volume_stays_mounted(tmp_path: Path) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    part = home / "part"

    def scene() -> None:
        _alone()
        data.mkdir()
        part.mkdir(parents=True)
        mounts.tmpfs(data, size_bytes=1 << 20)
        syscalls.mount(None, str(data), None, syscalls.MS_SHARED)
        syscalls.mount(str(data), str(part), None, syscalls.MS_BIND)
        (data / "disk").mkdir()
        mounts.tmpfs(data / "disk", size_bytes=1 << 20)
        assert mounts.is_mounted(part / "disk")
        mounts.unmount_below(home)
        assert mounts.below(home) == []
        assert mounts.is_mounted(data / "disk")

    assert in_child(scene) == ""


def test_a_folder_behind_a_symlink_is_cleared_as_well(tmp_path: Path) -> None:
    link, home = tmp_path / "link", tmp_path / "disk" / "home"

    def scene() -> None:
        _alone()
        home.mkdir(parents=True)
        link.symlink_to(tmp_path / "disk")
        mounts.tmpfs(home, size_bytes=1 << 20)
        assert mounts.is_mounted(link / "home")
        mounts.unmount_below(link / "home")
        assert mounts.below(tmp_path) == []

    assert in_child(scene) == ""

"""fsGroup. Chown to another group needs root; the group here is our own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from podspace.node import volume_ownership

GROUP = os.getgid()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_are_widened_for_the_group_and_never_narrowed() -> None:
    assert volume_ownership.shared_mode(0o600, folder=False) == 0o660
    assert volume_ownership.shared_mode(0o400, folder=False, readonly=True) == 0o440
    assert volume_ownership.shared_mode(0o755, folder=True) == 0o2775
    assert volume_ownership.shared_mode(0o1777, folder=True) == 0o3777
    assert volume_ownership.shared_mode(0o755, folder=True, readonly=True) == 0o2755


def test_a_tree_is_given_and_links_are_not_followed(tmp_path: Path) -> None:
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.write_text("")
    outside.chmod(0o600)
    (top / "a" / "b").mkdir(parents=True, mode=0o700)
    (top / "a" / "b" / "file").write_text("")
    (top / "a" / "b" / "file").chmod(0o600)
    (top / "a" / "link").symlink_to(outside)
    volume_ownership.give(top, GROUP)
    assert mode(top) == mode(top / "a") | 0o020 == 0o2775
    assert mode(top / "a" / "b") & 0o2770 == 0o2770
    assert mode(top / "a" / "b" / "file") == 0o660
    assert mode(outside) == 0o600


def test_without_a_group_nothing_changes(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    volume_ownership.give(tmp_path, None)
    assert mode(tmp_path) == 0o700


def test_what_is_given_already_can_be_left_alone(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    volume_ownership.give(top, GROUP, only_if_root_differs=True)
    assert mode(top) & 0o2770 == 0o2770
    (top / "later").write_text("")
    (top / "later").chmod(0o600)
    volume_ownership.give(top, GROUP, only_if_root_differs=True)
    assert mode(top / "later") == 0o600
    volume_ownership.give(top, GROUP)
    assert mode(top / "later") == 0o660

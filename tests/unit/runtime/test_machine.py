from __future__ import annotations

from pathlib import Path

import pytest

from podspace.runtime import machine


def _folders(base: Path, *, swaps: bool = True, cmdline: str = "quiet") -> tuple[Path, Path]:
    root, proc = base / "cgroup", base / "proc"
    root.mkdir()
    proc.mkdir()
    (proc / "cmdline").write_text(cmdline + "\n")
    if swaps:
        (proc / "swaps").touch()
    return root, proc


def test_v2_that_nobody_uses_yet_limits_swap_if_the_kernel_knows_swap(tmp_path: Path) -> None:
    """As after a boot without systemd: no cgroup below the root, so no file to look for."""
    assert machine.swap_limits(2, *_folders(tmp_path))


@pytest.mark.parametrize(("swaps", "cmdline"), [(False, "quiet"), (True, "quiet swapaccount=0")])
def test_v2_that_nobody_uses_yet_does_not_limit_swap_without_it(tmp_path: Path, swaps: bool, cmdline: str) -> None:
    assert not machine.swap_limits(2, *_folders(tmp_path, swaps=swaps, cmdline=cmdline))


def test_v2_in_use_shows_whether_swap_is_limited(tmp_path: Path) -> None:
    root, proc = _folders(tmp_path)
    slice_ = root / "system.slice"
    slice_.mkdir()
    (slice_ / "memory.max").touch()
    assert not machine.swap_limits(2, root, proc)
    (slice_ / "memory.swap.max").touch()
    assert machine.swap_limits(2, root, proc)


def test_v1_says_by_a_file_of_its_root(tmp_path: Path) -> None:
    root, proc = _folders(tmp_path)
    assert not machine.swap_limits(1, root, proc)
    (root / "memory").mkdir()
    (root / "memory/memory.memsw.limit_in_bytes").touch()
    assert machine.swap_limits(1, root, proc)

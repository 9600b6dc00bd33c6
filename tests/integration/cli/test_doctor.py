"""doctor on this machine: it can run Pods, and asking leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from podspace.cli import checks
from podspace.linux import mounts, rtnetlink
from podspace.settings import Paths, Settings

pytestmark = pytest.mark.root


def _links() -> set[str]:
    with rtnetlink.Route() as route:
        return {link.name for link in route.links() if link.name.startswith("probe")}


def test_this_machine_can_run_pods_and_is_left_as_it_was(tmp_path: Path) -> None:
    found = list(checks.run(Settings(paths=Paths.under(tmp_path))))
    assert [check.text for check in found if check.level is checks.Level.FAIL] == []
    assert {"kernel", "cgroups", "overlayfs", "conmon", "catatonit"} <= {check.name for check in found}
    assert list(tmp_path.iterdir()) == []
    assert not mounts.below(tmp_path)
    assert not _links()


def test_why_there_are_no_user_namespaces_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    for folder, level in ((tmp_path, checks.Level.OK), (tmp_path / "closed", checks.Level.WARN)):
        folder.mkdir(mode=0o700, exist_ok=True)
        (found,) = [check for check in checks.run(Settings(paths=Paths.under(folder))) if check.name == "user namespaces"]
        if any(parent.stat().st_mode & 0o001 == 0 for parent in tmp_path.parents):
            level = checks.Level.WARN  # where pytest's own folders are closed
        assert found.level is level
        assert level is checks.Level.OK or "lets nobody but its owner pass" in found.text


def test_a_place_where_nothing_can_be_written_fails() -> None:
    found = {check.name: check for check in checks.run(Settings(paths=Paths.under(Path("/proc"))))}
    assert found["overlayfs"].level is checks.Level.FAIL
    assert "--root" in found["overlayfs"].remedy


def test_missing_programs_are_said_with_their_packages(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "podspace.cli.main", "doctor", "--root", str(tmp_path)]
    done = subprocess.run(words, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for package in ("crun", "conmon", "nftables"):
        assert f"-> apt install {package}" in done.stdout

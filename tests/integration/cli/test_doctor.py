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

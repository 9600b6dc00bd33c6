"""The default AppArmor profile: as far as it can be checked without a kernel that has AppArmor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from podspace import errors
from podspace.linux import apparmor
from podspace.oci import apparmor_default


@pytest.mark.skipif(shutil.which("apparmor_parser") is None, reason="needs apparmor_parser")
def test_the_profile_is_one(tmp_path: Path) -> None:
    (tmp_path / "profile").write_text(apparmor_default.TEXT)
    done = subprocess.run(
        ["apparmor_parser", "--skip-kernel-load", "--skip-cache", str(tmp_path / "profile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_is_loaded_only_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = tmp_path / "apparmor_parser"
    parser.write_text(f'#!/bin/sh\ncp "$3" {tmp_path}/given\n')
    parser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(apparmor, "is_enabled", lambda: True)
    monkeypatch.setattr(apparmor, "is_loaded", lambda name: True)
    apparmor_default.ensure(tmp_path)
    assert not (tmp_path / "given").exists()
    monkeypatch.setattr(apparmor, "is_loaded", lambda name: False)
    apparmor_default.ensure(tmp_path)
    assert (tmp_path / "given").read_text() == apparmor_default.TEXT
    parser.write_text("#!/bin/sh\necho no such rule >&2; exit 1\n")
    with pytest.raises(errors.ToolError, match="no such rule"):
        apparmor_default.ensure(tmp_path)


def test_loaded_profiles_are_read_with_their_modes(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("podspace-default (enforce)\nwith (brackets) in it (complain)\n")
    assert apparmor.is_loaded("podspace-default", tmp_path / "profiles")
    assert apparmor.is_loaded("with (brackets) in it", tmp_path / "profiles")
    assert not apparmor.is_loaded("podspace", tmp_path / "profiles")
    (tmp_path / "enabled").write_text("Y\n")
    assert apparmor.is_enabled(tmp_path / "enabled")
    assert not apparmor.is_enabled(tmp_path / "absent")

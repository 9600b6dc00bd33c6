"""Debian's packages as the raw material of the demo and test images: fetched by apt, unpacked, never installed.

Called by ``tools.image_recipes``. Knows apt and dpkg, no image format.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_APT = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root")  # the cache folder need not be readable by _apt
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/bash-completion")


def architecture() -> str:
    """As dpkg spells it: amd64, arm64, armhf, ..."""
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the candidate version of each package that apt knows; fetches the package lists if there are none."""
    known = _candidates(packages)
    if not known:
        subprocess.run([*_APT, "update"], check=True)
        known = _candidates(packages)
    return known


def fetch(packages: dict[str, str], folder: Path) -> list[Path]:
    """Download name -> version into ``folder`` (what is there already stays) and return the .deb files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: _deb(folder, name, version) for name, version in packages.items()}
    missing = [f"{name}={packages[name]}" for name, file in files.items() if file is None]
    if missing and subprocess.run([*_APT, "download", *missing], cwd=folder).returncode != 0:
        subprocess.run([*_APT, "update"], check=True)  # lists older than the archive name files that are gone
        subprocess.run([*_APT, "download", *missing], cwd=folder, check=True)
    found = [_deb(folder, name, version) for name, version in packages.items()]
    if None in found:
        raise SystemExit(f"images: apt downloaded something else than {' '.join(missing)}")
    return [file for file in found if file is not None]


def unpack(debs: Sequence[Path], root: Path) -> None:
    """Unpack into ``root`` with /usr merged and without documentation."""
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
        _merge_usr(root)
    for dropped in _DROPPED:
        shutil.rmtree(root / dropped, ignore_errors=True)


def _candidates(packages: Sequence[str]) -> dict[str, str]:
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", *packages], capture_output=True, text=True).stdout
    found: dict[str, str] = {}
    name = ""
    for line in shown.splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            name = value
        elif key == "Version" and name:
            found.setdefault(name, value)
    return {package: found[package] for package in packages if package in found}


def _deb(folder: Path, name: str, version: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))), None)


def _merge_usr(root: Path) -> None:
    """Packages of Debian 12 still ship /lib/...: move that below /usr, where the image's /lib points to."""
    for name in _MERGED:
        old, new = root / name, root / "usr" / name
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, new, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(old)
            old.symlink_to(f"usr/{name}")

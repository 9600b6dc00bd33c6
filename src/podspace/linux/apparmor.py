"""AppArmor as the kernel shows it: whether it is on, and which profiles are loaded. Called by ``runtime`` and ``node``.

Source: apparmor(7), securityfs.
"""

from __future__ import annotations

from pathlib import Path

_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_PROFILES = Path("/sys/kernel/security/apparmor/profiles")


def is_enabled(file: Path = _ENABLED) -> bool:
    try:
        return file.read_text().startswith("Y")
    except OSError:
        return False


def is_loaded(name: str, file: Path = _PROFILES) -> bool:
    """Lines are ``name (mode)``; a name may hold spaces. Raises: OSError when securityfs is not mounted."""
    return any(line.rpartition(" (")[0] == name for line in file.read_text().splitlines())

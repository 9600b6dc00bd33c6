"""What a test may leave behind on the machine: nothing. A snapshot before, one after, and the difference in words."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything of ours that outlives a process which forgets to clean up. ``marker`` is a path or name only this test uses."""

    processes: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()
    cgroups: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()

    def minus(self, before: Snapshot) -> list[str]:
        """Sentences for what is here and was not before."""
        return [
            f"{kind}: {item}"
            for kind in ("processes", "mounts", "cgroups", "links", "tables")
            for item in sorted(getattr(self, kind) - getattr(before, kind))
        ]


def take(root: Path, instance: str) -> Snapshot:
    """What belongs to the server at ``root`` with this instance id."""
    return Snapshot(
        processes=frozenset(_processes(str(root))),
        mounts=frozenset(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(root) in line),
        cgroups=frozenset(_cgroups(instance)),
        links=frozenset(name for name in os.listdir("/sys/class/net") if name == f"ps-{instance}" or name.startswith(f"ps{instance[:5]}")),
        tables=frozenset(_tables(instance)),
    )


def _processes(root: str) -> list[str]:
    """Processes that name the root on their command line, or were started from it (conmon, crun, the server)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroup = (entry / "cgroup").read_text()
        except OSError:
            continue
        if _is_zombie(entry):
            continue  # dead, and whoever is to wait for it has not come round to it yet
        if root in words and "pytest" not in words:
            found.append(f"{entry.name} {words.strip()}")
        elif "/podspace-" in cgroup and _instance_of(root) in cgroup:
            found.append(f"{entry.name} {words.strip()} (by cgroup)")
    return found


def _is_zombie(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _instance_of(root: str) -> str:
    from podspace.settings import Paths

    return Paths.under(Path(root)).instance


def _cgroups(instance: str) -> list[str]:
    base = Path("/sys/fs/cgroup")
    return [str(path) for top in (base, *base.iterdir()) if top.is_dir() for path in top.glob(f"podspace-{instance}*")]


def _tables(instance: str) -> list[str]:
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    return [line for line in listed.splitlines() if instance in line]

"""Which OCI runtime is used where nobody says, and what it needs on this machine. Called by the daemon and by ``world``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from podspace import settings
from podspace.linux import cgroups, mounts
from podspace.oci import runtimes
from podspace.runtime import layout


def choose(config: settings.Settings) -> settings.Settings:
    """Settle the default: the one whose containers run already, else one that is there. Raises: Unsupported."""
    note = config.paths.run / "oci-runtime"
    chosen = config.oci_runtime
    if not chosen and layout.holds_sandboxes(config.paths):
        chosen = layout.read_line(note)
    layout.write_text(note, f"{chosen or runtimes.find().name}\n")
    return dataclasses.replace(config, oci_runtime=chosen)


def make(name: str, state: Path) -> runtimes.OciRuntime:
    """Only crun minds a hybrid machine. Raises: Unsupported."""
    program = runtimes.find(name)
    hybrid = cgroups.mode(mounts.table()) is cgroups.Mode.HYBRID
    return runtimes.OciRuntime(program, state, hide_v2=hybrid and "crun" in program.name)

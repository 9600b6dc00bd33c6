"""Which OCI runtime makes a sandbox and its containers, and how it is to make their cgroups.

A sandbox keeps the one it was made by, whatever a later server's flags say. Called by the daemon and through ``world``.
Source: KEP-585 (RuntimeClass); systemd.slice(5).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from podspace import errors, settings
from podspace.linux import cgroups, mounts
from podspace.oci import runtimes
from podspace.runtime import layout, records

_SLICE = ".slice"


def choose(config: settings.Settings) -> settings.Settings:
    """Settle the default: the one whose containers run already, else one that is there. Raises: Unsupported."""
    note = config.paths.run / "oci-runtime"
    chosen = config.oci_runtime
    if not chosen and layout.holds_sandboxes(config.paths):
        chosen = layout.read_line(note)
    layout.write_text(note, f"{chosen or runtimes.find().name}\n")
    return dataclasses.replace(config, oci_runtime=chosen)


class Runtimes:
    """The default, and one for each handler that a RuntimeClass can name. ``state``: the folder where they keep theirs."""

    def __init__(self, default: str, handlers: Mapping[str, str], state: Path) -> None:
        """Raises: Unsupported when one of them is not there."""
        self._state = state
        self._programs = {"": runtimes.find(default)} | {name: runtimes.find(program) for name, program in handlers.items()}
        self._made: dict[tuple[Path, bool], runtimes.OciRuntime] = {}
        self.default = self.of(records.OciRuntime())

    def prepare(self, *, systemd_cgroups: bool) -> None:
        """Have the default one ready for the first sandbox. Raises: OSError."""
        self.of(self.choose("", systemd_cgroups=False)).prepare()
        self.of(self.choose("", systemd_cgroups=systemd_cgroups)).prepare()

    @property
    def handlers(self) -> Mapping[str, Path]:
        """Programs by name; "" is the default."""
        return self._programs

    def choose(self, handler: str, *, systemd_cgroups: bool) -> records.OciRuntime:
        """What a new sandbox keeps in its record. Raises: BadRequest."""
        program = self._programs.get(handler)
        if program is None:
            known = ", ".join(sorted(f'"{name}"' for name in self._programs if name)) or "none; see --runtime-handler"
            raise errors.BadRequest(f'no runtime for "{handler}" is configured (configured: {known})')
        return records.OciRuntime(program=str(program), systemd_cgroups=systemd_cgroups)

    def of(self, chosen: records.OciRuntime) -> runtimes.OciRuntime:
        """The runtime of a record."""
        program = Path(chosen.program) if chosen.program else self._programs[""]
        key = (program, chosen.systemd_cgroups)
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, program: Path, systemd_cgroups: bool) -> runtimes.OciRuntime:
        """Only crun minds a hybrid machine."""
        hybrid = cgroups.mode(mounts.table()) is cgroups.Mode.HYBRID
        return runtimes.OciRuntime(program, self._state, hide_v2=hybrid and "crun" in program.name, systemd_cgroups=systemd_cgroups)


def is_slice(parent: str) -> bool:
    """Whether a cgroup's name is one of systemd's."""
    return parent.endswith(_SLICE)


def expand(parent: str) -> str:
    """Where systemd has a slice: "a-b.slice" -> "/a.slice/a-b.slice", as its name alone tells. "-.slice" is the root."""
    words = os.path.basename(parent).removesuffix(_SLICE).split("-")
    return "".join(f"/{'-'.join(words[: count + 1])}{_SLICE}" for count in range(len(words)) if words[0])

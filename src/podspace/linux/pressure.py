"""Pressure stall information of a cgroup: how long its processes waited for a resource. cgroup v2 alone has it.

Called by ``cgroup_details`` and, for stats, by ``runtime.usage``. Source: Documentation/accounting/psi.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """``total_micros`` since the cgroup was made; averages are percent of the last 10, 60 and 300 seconds."""

    total_micros: int = 0
    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """``some``: at least one process waited; ``full``: all of them did."""

    some: Stall = Stall()
    full: Stall = Stall()


def read(folder: Path | None) -> Mapping[str, Pressure]:
    """By resource; {} where the kernel does not tell."""
    found: dict[str, Pressure] = {}
    for resource in RESOURCES if folder is not None else ():
        try:
            found[resource] = parse((folder / f"{resource}.pressure").read_text())  # type: ignore[operator]
        except OSError:  # no such file; or it is there and psi=0 is on the kernel's command line
            continue
    return found


def parse(text: str) -> Pressure:
    """``some avg10=0.00 avg60=0.00 avg300=0.00 total=0``, and a line for ``full``."""
    lines = {line.split()[0]: _stall(line) for line in text.splitlines() if line}
    return Pressure(some=lines.get("some", Stall()), full=lines.get("full", Stall()))


def _stall(line: str) -> Stall:
    values = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
    return Stall(
        total_micros=int(values.get("total", 0)),
        avg10=float(values.get("avg10", 0)),
        avg60=float(values.get("avg60", 0)),
        avg300=float(values.get("avg300", 0)),
    )

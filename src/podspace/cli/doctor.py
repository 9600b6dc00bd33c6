"""``podspace doctor``: what this machine has and lacks, a line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from podspace.cli import checks, failure, flags, server_flags

USAGE = """
Check whether this machine can run Pods. Every line says ok, warn or fail, and how to get what is missing.
The exit code is 1 if something fails.

  podspace doctor [--root DIR]

Examples:
  podspace doctor
  podspace doctor --root /srv/pods --registries-conf registries.conf
"""
FLAGS = server_flags.PLACE
COLOURS = {checks.Level.OK: "32", checks.Level.WARN: "33", checks.Level.FAIL: "31"}


def run(argv: Sequence[str]) -> int:
    options = flags.parse("doctor", USAGE, FLAGS, argv)
    if options.args:
        raise failure.Usage(f"unexpected argument: {options.args[0]}", "doctor")
    coloured = sys.stdout.isatty()
    failed = False
    for check in checks.run(server_flags.make(options)):
        print(line(check, coloured=coloured), flush=True)
        failed |= check.level is checks.Level.FAIL
    return 1 if failed else 0


def line(check: checks.Check, *, coloured: bool = False) -> str:
    """``fail  conmon: not found; it watches containers ... -> apt install conmon``."""
    mark = f"{check.level:<4}"
    if coloured:
        mark = f"\x1b[{COLOURS[check.level]}m{mark}\x1b[0m"
    remedy = f" -> {check.remedy}" if check.remedy else ""
    return f"{mark}  {check.name}: {check.text}{remedy}"

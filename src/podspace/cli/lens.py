"""What ps, top, signal, files, audit and why have in common: their output, which no container can abuse.

The text of containers (names, arguments, paths) is escaped wherever it goes to a terminal; JSON and YAML escape it by their own rules.
"""

from __future__ import annotations

import json
from typing import Any

from podspace.cli import failure, flags
from podspace.kube.json import JSON
from podspace.lens import safetext

OUTPUT = flags.Flag("output", "o", takes="FORMAT", help="json, yaml or wide")
FORMS = ("", "json", "yaml", "wide")


def form(options: flags.Options, more: tuple[str, ...] = ()) -> str:
    """The value of ``-o``. Raises: failure.Failure for one this command does not have."""
    wanted = options.text("output")
    if wanted not in (*FORMS, *more):
        allowed = ",".join((*FORMS[1:], *more))
        raise failure.Failure(f'unable to match a printer suitable for the output format "{wanted}", allowed formats are: {allowed}')
    return wanted


def structured(value: JSON, wanted: str) -> str:
    """JSON or YAML in ASCII: what is not printable is escaped as these formats do it."""
    if wanted == "json":
        return json.dumps(value, indent=4, sort_keys=True) + "\n"
    import yaml

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, default_flow_style=False, allow_unicode=False, width=1 << 30))


def show(text: object) -> str:
    return safetext.escaped(str(text))


def size(count: float) -> str:
    """Bytes as people read them: ``512``, ``1.5Mi``."""
    value = float(count)
    for unit in ("", "Ki", "Mi", "Gi"):
        if value < 1024:
            return f"{value:.0f}{unit}" if value >= 10 or not unit else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}Ti"

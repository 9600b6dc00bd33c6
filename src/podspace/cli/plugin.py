"""``kubectl podspace``: the lens as a kubectl plugin, on any cluster. kubectl finds it on PATH as ``kubectl-podspace``.

The same verbs as ``podspace``'s; where the API has no lens, they look in by an ephemeral container.
Source: kubernetes.io "Extend kubectl with plugins".
"""

from __future__ import annotations

import sys

from podspace.cli import main as command

VERBS = ("ps", "top", "signal", "files", "audit", "why", "debug")


def main() -> int:
    """Console script. Returns the exit code."""
    return command.main(program="kubectl podspace", verbs=VERBS)


if __name__ == "__main__":
    sys.exit(main())

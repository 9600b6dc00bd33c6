"""``podspace why``: one paragraph for a Pod that does not run."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from podspace.cli import client, failure, flags, kubeconfig, lens, look

USAGE = """
Say why a Pod does not run, in one paragraph: what failed, in whose words, and what to change.

  podspace why POD [-o json|yaml|wide]

Exit status: 0 if all is well, 3 if something is to be said.

Examples:
  podspace why web
  podspace why web -o wide      # on one line
"""
FLAGS = (lens.OUTPUT, *look.FLAGS, *flags.COMMON)
COLUMNS = 100
NOT_WELL = 3


def run(argv: Sequence[str]) -> int:
    options = flags.parse("why", USAGE, FLAGS, argv)
    if len(options.args) != 1:
        raise failure.Usage("exactly one Pod must be given", "why")
    wanted = lens.form(options)
    with client.Client(kubeconfig.load(options)) as api:
        answer = look.choose(options, api).why(options.args[0])
    if wanted in ("json", "yaml"):
        sys.stdout.write(lens.structured(answer, wanted))
    else:
        text = lens.show(answer["status"]["message"])
        print(text if wanted == "wide" else textwrap.fill(text, COLUMNS, break_long_words=False, break_on_hyphens=False))
    return 0 if answer["status"]["ok"] else NOT_WELL

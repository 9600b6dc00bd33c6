"""``podspace version``: ours and, if it answers, the server's."""

from __future__ import annotations

from collections.abc import Sequence

import podspace
from podspace.cli import client, failure, flags, kubeconfig

USAGE = """
Print the version of this program and of the server.

  podspace version [--client]

Examples:
  podspace version
"""
FLAGS = (flags.Flag("client", help="only ours"), *flags.COMMON)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("version", USAGE, FLAGS, argv)
    print(f"podspace {podspace.__version__}")
    if options.on("client"):
        return 0
    try:
        with client.Client(kubeconfig.load(options)) as api:
            answer = api.get("/version")
    except failure.Failure as error:
        print(f"no server: {str(error).removeprefix('error: ')}")
        return 0
    print(f"server: Kubernetes API {answer.get('gitVersion', '?')}")
    return 0

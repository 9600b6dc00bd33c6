"""``podspace cri``: the server for a kubelet alone, without the API that kubectl talks to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from podspace import errors
from podspace.cli import checks, failure, flags, serve, server_flags

USAGE = """
Run podspace as a kubelet's container runtime, in the foreground. It prints "ready" on a line of its own and serves until SIGTERM.
Containers go on running without it, and are found again when it comes back.

  podspace cri [--root DIR] [--cri-socket /run/podspace/cri.sock]

Examples:
  podspace cri                                          # kubelet --container-runtime-endpoint=unix:///run/podspace/cri.sock
  podspace cri --network bridge                         # without CNI plugins
  podspace cri --root /srv/node --cri-socket /run/node.sock
"""
FLAGS = (
    *server_flags.PLACE,
    flags.Flag("cri-socket", takes="PATH", help="where the kubelet finds it (default /run/podspace/cri.sock, or below --root)"),
    server_flags.CGROUP_DRIVER,
    *server_flags.NETWORK,
    flags.Flag("skip-checks", help="start although a check of doctor fails"),
)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("cri", USAGE, FLAGS, argv)
    if options.args:
        raise failure.Usage(f"unexpected argument: {options.args[0]}", "cri")
    settings = server_flags.make(options)
    if settings.cri_socket is None:
        settings = dataclasses.replace(settings, cri_socket=settings.paths.run / "cri.sock")
    try:
        if not options.on("skip-checks"):
            serve.refuse_unfit(checks.run(settings))
        from podspace import daemon

        return daemon.run(settings, cri_alone=True)
    except errors.PodspaceError as error:
        raise failure.Failure(str(error)) from error

"""``podspace serve``: looks whether the machine can do it, then hands over to the daemon."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterable, Sequence

from podspace import certificates, errors
from podspace.cli import checks, doctor, failure, flags, server_flags

USAGE = """
Run the server in the foreground. It writes a kubeconfig, prints "ready" on a line of its own, and serves until SIGTERM.
Pods go on running without it, and are found again when it comes back.

  podspace serve [--root DIR] [--listen 127.0.0.1:6443] [--kubeconfig FILE]

Examples:
  podspace serve
  podspace serve --root /srv/pods --listen 127.0.0.1:7443 --stop-pods      # a second server, beside the first
  podspace serve --registries-conf registries.conf
"""
FLAGS = (
    *server_flags.PLACE,
    flags.Flag("listen", takes="HOST:PORT", help="where kubectl finds it (default 127.0.0.1:6443)"),
    flags.Flag("kubeconfig", takes="FILE", help="where to write the kubeconfig (default /etc/podspace/kubeconfig, or below --root)"),
    flags.Flag("node-name", takes="NAME", help="name of the node (default: the host's)"),
    *server_flags.NETWORK,
    flags.Flag("allowed-unsafe-sysctls", takes="NAMES", help="sysctls Pods may set beside the safe ones: net.core.somaxconn,kernel.msg*"),
    flags.Flag("seccomp-profile-root", takes="DIR", help="folder of localhostProfile files (default /var/lib/podspace/seccomp)"),
    flags.Flag("stop-pods", help="on the way out stop the Pods too"),
    flags.Flag("cri-socket", takes="PATH", help="serve the CRI there too, for a kubelet"),
    server_flags.CGROUP_DRIVER,
    *server_flags.KUBELET,
    flags.Flag("skip-checks", help="start although a check of doctor fails"),
)
NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_MAX = 63  # it is also the value of kubernetes.io/hostname


def run(argv: Sequence[str]) -> int:
    options = flags.parse("serve", USAGE, FLAGS, argv)
    if options.args:
        raise failure.Usage(f"unexpected argument: {options.args[0]}", "serve")
    settings = server_flags.make(options)
    try:
        certificates.split_listen(settings.listen)
        _check_node_name(settings.node_name)
        if not options.on("skip-checks"):
            refuse_unfit(checks.run(settings))
        certificates.check_kubeconfig(settings.kubeconfig or settings.paths.kubeconfig)
        from podspace import daemon

        return daemon.run(settings)
    except errors.PodspaceError as error:
        raise failure.Failure(str(error)) from error


def _check_node_name(given: str) -> None:
    """Raises: failure.Failure for what no Node can be called; some hosts have such names."""
    name = given or socket.gethostname().lower()
    if len(name) > LABEL_MAX or not NODE_NAME.fullmatch(name):
        source = "--node-name" if given else "this host's name"
        rule = "lower case letters, digits, '-' and '.', at most 63, with a letter or digit at both ends"
        raise failure.Failure(f'{source} "{name}" cannot be the name of a node ({rule}); give one with --node-name')


def refuse_unfit(found: Iterable[checks.Check]) -> None:
    """Raises: failure.Failure with every failing line; warnings go to standard error."""
    failing = []
    for check in found:
        if check.level is checks.Level.FAIL:
            failing.append(doctor.line(check))
        elif check.level is checks.Level.WARN:
            print(doctor.line(check), file=sys.stderr)
    if failing:
        raise failure.Failure("\n".join(["this machine cannot run Pods yet:", *failing]))

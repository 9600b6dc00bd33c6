"""``podspace attach``: join the main process of a running container."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from podspace.cli import client, exec, failure, flags, kubeconfig, pods, remote
from podspace.kube.json import JSON

USAGE = """
Attach to a process that is already running inside a container.

  podspace attach [-i] [-t] POD [-c CONTAINER]

Examples:
  podspace attach -it nginx -c shell
  podspace attach nginx                   # only watch what it writes
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="container (default: the annotated one, or the first)"),
    flags.Flag("stdin", "i", help="pass standard input to the container"),
    flags.Flag("tty", "t", help="standard input is a terminal"),
    flags.Flag("quiet", "q", help="only print the output of the container"),
    flags.Flag("pod-running-timeout", takes="DURATION", default="1m0s", help="accepted as kubectl does, and not needed"),
    *flags.COMMON,
)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("attach", USAGE, FLAGS, argv)
    if len(options.args) != 1:
        raise failure.Usage("POD or TYPE/NAME is required for attach", "attach")
    with client.Client(kubeconfig.load(options)) as api:
        pod = pods.get(api, pods.name_of(options.args[0]))
        container = pods.container(pod, options.text("container"), quiet=options.on("quiet"))
        return attach(api, pod, container, stdin=options.on("stdin"), tty=options.on("tty"), quiet=options.on("quiet"))


def attach(api: client.Client, pod: JSON, container: str, *, stdin: bool, tty: bool, quiet: bool = False) -> int:
    """Attach and return the exit code. Also the last step of ``debug -it``."""
    pods.refuse_finished(pod, "attach to")
    name, spec = pod["metadata"]["name"], pods.spec_of(pod, container)
    if tty and not spec.get("tty"):
        tty = False
        if not quiet:
            print(f"error: Unable to use a TTY - container {container} did not allocate one", file=sys.stderr)
    ends = exec.local_ends(stdin=stdin, tty=tty, quiet=quiet)
    if not quiet and ends.terminal is not None:
        print("If you don't see a command prompt, try pressing enter.", file=sys.stderr)
    path = exec.session_path(api.cluster.namespace, name, "attach", container, ends)
    code = remote.exit_code(remote.run(api, path, ends))
    if not quiet and ends.terminal is not None and pod["spec"].get("restartPolicy") == "Always":
        again = f"podspace attach {name} -c {container} -i -t"
        print(f"Session ended, resume using '{again}' command when the pod is running", file=sys.stderr)
    return code

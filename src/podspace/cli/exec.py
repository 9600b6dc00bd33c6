"""``podspace exec``: a command in a running container. The command that has to start fast: mind what is imported."""

from __future__ import annotations

import sys

from podspace.cli import client, failure, flags, kubeconfig, pods, remote, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = """
Execute a command in a container.

  podspace exec [-i] [-t] POD [-c CONTAINER] -- COMMAND [ARGUMENT...]

Examples:
  podspace exec nginx -c shell -- ps ax
  podspace exec -it nginx -c shell -- sh
  podspace exec -i nginx -c shell -- tar xf - < files.tar
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="container (default: the annotated one, or the first)"),
    flags.Flag("stdin", "i", help="pass standard input to the container"),
    flags.Flag("tty", "t", help="standard input is a terminal"),
    flags.Flag("quiet", "q", help="only print the output of the command"),
    flags.Flag("pod-running-timeout", takes="DURATION", default="1m0s", help="accepted as kubectl does, and not needed"),
    *flags.COMMON,
)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("exec", USAGE, FLAGS, argv)
    if not options.args:
        raise failure.Usage("pod or type/name must be specified", "exec")
    if len(options.args) > 1:
        raise failure.Failure("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    if not options.rest:
        raise failure.Usage("you must specify at least one command for the container", "exec")
    with client.Client(kubeconfig.load(options)) as api:
        return _execute(options, api, options.rest)


def _execute(options: flags.Options, api: client.Client, command: Sequence[str]) -> int:
    pod = pods.get(api, pods.name_of(options.args[0]))
    pods.refuse_finished(pod, "exec into")
    container = pods.container(pod, options.text("container"), quiet=options.on("quiet"))
    ends = local_ends(stdin=options.on("stdin"), tty=options.on("tty"), quiet=options.on("quiet"))
    path = session_path(api.cluster.namespace, pod["metadata"]["name"], "exec", container, ends, command)
    return remote.exit_code(remote.run(api, path, ends))


def local_ends(*, stdin: bool, tty: bool, quiet: bool = False) -> remote.Ends:
    """Our descriptors for ``-i`` and ``-t``; a terminal that is none is said and done without, as kubectl does."""
    if not stdin:
        return remote.Ends()
    if tty and not terminal.is_terminal(0):
        tty = False
        if not quiet:
            print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
    return remote.Ends(stdin=0, terminal=0 if tty else None)


def session_path(namespace: str, pod: str, verb: str, container: str, ends: remote.Ends, command: Sequence[str] = ()) -> str:
    """The path and query of an exec or attach. A terminal carries both outputs, so stderr is not asked for with it."""
    pairs = [("command", word) for word in command]
    pairs.append(("container", container))
    if ends.stdin is not None:
        pairs.append(("stdin", "true"))
    pairs.append(("stdout", "true"))
    pairs.append(("tty", "true") if ends.terminal is not None else ("stderr", "true"))
    return pods.path(namespace, pod, verb) + client.query(pairs)

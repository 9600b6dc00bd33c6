"""The ``podspace`` command: finds the verb, runs it, and turns what goes wrong into a line and an exit code.

Imports a verb's module only when that verb is asked for: ``podspace exec`` must not pay for ``podspace image pull``.
"""

from __future__ import annotations

import os
import sys

from podspace.cli import failure, flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Command = Callable[[Sequence[str]], int]

COMMANDS = {
    "serve": "run the server, in the foreground",
    "cri": "run the server for a kubelet alone, in the foreground",
    "doctor": "say what this machine lacks, and how to get it",
    "image": "load, pull, list and remove images",
    "apply": "create or change objects from manifests",
    "get": "list objects",
    "describe": "show an object and what happened to it",
    "logs": "print a container's output",
    "exec": "run a command in a container",
    "attach": "join a container's main process",
    "debug": "add a debugging container to a Pod",
    "cp": "copy files from and to containers",
    "delete": "delete objects",
    "ps": "list the processes of a Pod",
    "files": "list, read and copy a container's files, and show what it changed",
    "audit": "say who can do what to whom in a Pod",
    "why": "say why a Pod does not run",
    "top": "show a Pod's processes live",
    "signal": "send a signal to a container's process",
    "version": "print versions",
}
MODULES = {"cp": "copy"}
INTERRUPTED, BROKEN_PIPE = 130, 141


def main(*, program: str = "podspace", verbs: Sequence[str] = tuple(COMMANDS)) -> int:
    """Console script. Returns the exit code. ``verbs``: those that ``program`` has."""
    try:
        code = _run(_verb_first(sys.argv[1:]), program, verbs)
        sys.stdout.flush()
    except flags.Help as help_text:
        print(help_text, end="")
        return 0
    except failure.Failure as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter complains when it flushes
        return BROKEN_PIPE
    except ConnectionError as error:
        _complain(f"error: the connection to the server was lost: {error}")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"error: {where}{error.strerror or error}")
        return 1
    return code


def _run(arguments: list[str], program: str, verbs: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(_overview(program, verbs), end="")
        return 0
    verb = "version" if arguments[0] == "--version" else arguments[0]
    if verb not in verbs:
        raise failure.Failure(f'unknown command "{verb}" for "{program}"\nRun \'{program} --help\' for usage.')
    command = _load(MODULES.get(verb, verb))
    try:
        return command(arguments[1:])
    except Exception as error:
        # Only what was raised on purpose; errors.py is imported by those who can raise it, not by the quick verbs.
        known = sys.modules.get("podspace.errors")
        if known is not None and isinstance(error, known.PodspaceError):
            raise failure.Failure(str(error)) from error
        raise


def _load(module: str) -> Command:
    name = f"podspace.cli.{module}"
    __import__(name)
    command: Command = sys.modules[name].run
    return command


def _verb_first(arguments: list[str]) -> list[str]:
    """``podspace -n web get pods`` to ``podspace get -n web pods``: kubectl takes its common flags before the verb too."""
    takes_value = {"-" + flag.short for flag in flags.COMMON if flag.short} | {"--" + flag.name for flag in flags.COMMON}
    index = 0
    while index < len(arguments) and arguments[index].startswith("-") and arguments[index] not in ("-h", "--help", "--version"):
        index += 2 if arguments[index] in takes_value else 1
    if 0 < index < len(arguments):
        return [arguments[index], *arguments[:index], *arguments[index + 1 :]]
    return arguments


def _overview(program: str, verbs: Sequence[str]) -> str:
    head = "podspace runs Kubernetes Pods on this machine." if program == "podspace" else "Look into a Pod of this cluster."
    lines = [head, "", f"Usage:  {program} COMMAND [ARGUMENTS]     ({program} COMMAND --help)", ""]
    lines += [f"  {name:<10} {COMMANDS[name]}" for name in verbs]
    return "\n".join(lines) + "\n"


def _complain(message: str) -> None:
    if message:
        sys.stdout.flush()
        print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

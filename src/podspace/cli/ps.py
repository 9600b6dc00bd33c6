"""``podspace ps``: every process of a Pod, with the container it is in."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from podspace.cli import client, failure, flags, kubeconfig, lens, look, tabs
from podspace.kube import duration, times
from podspace.kube.json import JSON

USAGE = """
List every process of a Pod: in which container it is (by its cgroup), as whom it runs (by that container's own passwd), and since when.
Nothing is needed in the image: no shell, no ps.

  podspace ps POD [-c CONTAINER] [--tree] [--threads] [-o json|yaml|wide]

Examples:
  podspace ps nginx                       # all of them, numbered as the containers see them
  podspace ps nginx --tree                # who started whom
  podspace ps nginx -c shell --threads    # one container's, with every thread
  podspace ps nginx -o wide               # also the parent, threads, and which namespaces are shared with whom
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="only of this container"),
    flags.Flag("tree", help="as a tree"),
    flags.Flag("threads", help="a line for each thread too"),
    lens.OUTPUT,
    *look.FLAGS,
    *flags.COMMON,
)
HEADER = ("PID", "HOSTPID", "CONTAINER", "USER", "STATE", "AGE", "CPU", "RSS")
STANDS_OUT = {"zombie": "ZOMBIE", "stopped": "STOPPED", "traced": "TRACED"}


def run(argv: Sequence[str]) -> int:
    options = flags.parse("ps", USAGE, FLAGS, argv)
    if len(options.args) != 1:
        raise failure.Usage("exactly one Pod must be given", "ps")
    wanted = lens.form(options)
    with client.Client(kubeconfig.load(options)) as api:
        seen = look.choose(options, api).processes(options.args[0], threads=options.on("threads"), namespaces=bool(wanted))
    _select(seen, options.text("container"))
    text = lens.structured(seen, wanted) if wanted in ("json", "yaml") else table(seen, tree=options.on("tree"), wide=wanted == "wide")
    sys.stdout.write(text)
    return 0


def _select(seen: JSON, container: str) -> None:
    if not container:
        return
    names = [entry["name"] for entry in seen["containers"]]
    if container not in names:
        raise failure.Failure(f"no container {container} runs in this Pod; there is: {', '.join(names)}")
    seen["processes"] = [entry for entry in seen["processes"] if entry["container"] == container]
    seen["containers"] = [entry for entry in seen["containers"] if entry["name"] == container]


def table(seen: JSON, *, tree: bool = False, wide: bool = False, now: float | None = None) -> str:
    """One table where the process namespace is shared, else one for each container, which says so. Pure but for the clock."""
    moment = time.time() if now is None else now
    if seen["processNamespace"] != "Container":
        head = "" if seen["processNamespace"] == "Pod" else "The containers are in the node's process namespace: PID is the node's.\n"
        return head + _rows(seen["processes"], tree, wide, moment) + (_sharing(seen) if wide else "")
    parts = []
    for container in seen["containers"]:
        mine = [entry for entry in seen["processes"] if entry["container"] == container["name"]]
        parts.append(f"{lens.show(container['name'])}: a process namespace of its own\n" + _rows(mine, tree, wide, moment))
    return "\n".join(parts) + (_sharing(seen) if wide else "")


def _rows(processes: Sequence[JSON], tree: bool, wide: bool, now: float) -> str:
    rows = [[*HEADER, *(("PPID", "THREADS", "UID") if wide else ()), "COMMAND"]]
    for entry, branch in ordered(processes) if tree else [(entry, "") for entry in processes]:
        rows.append([*_cells(entry, wide, now), branch + command(entry)])
        for thread in entry.get("threads") or ():
            cells = ["", str(thread["tid"]), "", "", _state(thread["state"]), "", cpu(thread["cpuSeconds"]), ""]
            rows.append([*cells, *([""] * 3 if wide else ()), f"{branch}  [{lens.show(thread['name'])}]"])
    return "".join(line.rstrip() + "\n" for line in tabs.columns(rows))


def _cells(entry: JSON, wide: bool, now: float) -> list[str]:
    age = duration.human(max(now - times.parse(entry["startTime"]), 0))
    cells = [
        str(entry["pid"]),
        str(entry.get("hostPid", "-")),
        lens.show(entry["container"]),
        lens.show(entry["user"]),
        _state(entry["state"]),
    ]
    cells += [age, cpu(entry["cpuSeconds"]), lens.size(entry["residentBytes"])]
    return cells + ([str(entry["parent"]), str(entry["threadCount"]), str(entry["uid"])] if wide else [])


def command(entry: JSON) -> str:
    """The arguments, or the kernel's name for a process that has none (any more)."""
    words = entry["command"]
    return lens.show(" ".join(words)) if words else f"[{lens.show(entry['name'])}]"


def cpu(seconds: float) -> str:
    """``0:01.50``."""
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"


def _state(state: str) -> str:
    return STANDS_OUT.get(state, state)


def ordered(processes: Sequence[JSON]) -> list[tuple[JSON, str]]:
    """Parents before their children, with the branches to draw before the command. Nothing is left out, whatever the parents say."""
    known = {entry["pid"]: entry for entry in processes}
    children: dict[int, list[JSON]] = {}
    for entry in processes:
        parent = entry["parent"]
        children.setdefault(parent if parent in known and parent != entry["pid"] else 0, []).append(entry)
    found: list[tuple[JSON, str]] = []
    stack = [(entry, "", "") for entry in reversed(children.get(0, ()))]
    while stack:
        entry, branch, below = stack.pop()
        found.append((entry, branch))
        nested = children.get(entry["pid"], ())
        rows = [(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")) for child, last in _with_last(nested)]
        stack += reversed(rows)
    shown = {entry["pid"] for entry, _ in found}
    return found + [(entry, "") for entry in processes if entry["pid"] not in shown]


def _with_last(entries: Sequence[JSON]) -> list[tuple[JSON, bool]]:
    return [(entry, number == len(entries) - 1) for number, entry in enumerate(entries)]


def _sharing(seen: JSON) -> str:
    lines = [""]
    for container in seen["containers"]:
        spaces: Mapping[str, JSON] = container.get("namespaces") or {}
        by_others: dict[str, list[str]] = {}
        for kind, space in spaces.items():
            by_others.setdefault(", ".join(lens.show(name) for name in space["sharedWith"]), []).append(kind)
        words = [f"{', '.join(kinds)} {f'shared with {others}' if others else 'of its own'}" for others, kinds in by_others.items()]
        lines.append(f"{lens.show(container['name'])}: {'; '.join(words)}")
    return "\n".join(lines) + "\n"

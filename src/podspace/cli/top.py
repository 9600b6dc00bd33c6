"""``podspace top``: a Pod's processes live: CPU and memory of each container over time, and keys to sort and to signal.

Reads the same answer of the API as ``ps``, once a second; what is drawn is computed here, by pure functions over two answers.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from podspace.cli import client, failure, flags, kubeconfig, lens, look, ps, terminal
from podspace.kube.json import JSON

USAGE = """
Show a Pod's processes live: CPU and memory of each container over the last minute, and the processes that use most.

  podspace top POD [-c CONTAINER] [--sort cpu|memory|pid] [--interval SECONDS] [--once] [-o json|yaml|wide]

Keys: c m p sort by CPU, memory, PID; up and down (or j k) choose a process; h t x send it HUP, TERM, KILL; q ends.

Examples:
  podspace top nginx
  podspace top nginx --once             # one look, of one second, as text
  podspace top nginx --once -o json
"""
FLAGS = (
    flags.Flag("container", "c", takes="NAME", help="only of this container"),
    flags.Flag("sort", takes="KEY", default="cpu", help="cpu, memory or pid"),
    flags.Flag("interval", takes="SECONDS", default="1", help="between two looks (at least 0.2)"),
    flags.Flag("once", help="one look, not live"),
    lens.OUTPUT,
    *look.FLAGS,
    *flags.COMMON,
)
SORTS = {"c": "cpu", "m": "memory", "p": "pid"}
SIGNALS = {"h": "HUP", "t": "TERM", "x": "KILL"}
BARS = " ▁▂▃▄▅▆▇█"
HISTORY = 60
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
REVERSE, PLAIN = "\x1b[7m", "\x1b[0m"


@dataclass(slots=True, kw_only=True)
class Screen:
    """What is remembered between two looks."""

    sort: str = "cpu"
    chosen: int = 0  # row
    said: str = ""
    rows: list[JSON] = field(default_factory=list)
    cpu: dict[str, deque[float]] = field(default_factory=dict)  # percent of one core, by container
    memory: dict[str, deque[float]] = field(default_factory=dict)


def run(argv: Sequence[str]) -> int:
    options = flags.parse("top", USAGE, FLAGS, argv)
    if len(options.args) != 1:
        raise failure.Usage("exactly one Pod must be given", "top")
    if options.text("sort") not in SORTS.values():
        raise failure.Usage("--sort takes cpu, memory or pid", "top")
    wanted = lens.form(options)
    interval = max(options.seconds("interval"), 0.2)
    with client.Client(kubeconfig.load(options)) as api:
        inside = look.choose(options, api)
        if options.on("once") or wanted in ("json", "yaml") or not (terminal.is_terminal(0) and terminal.is_terminal(1)):
            return _once(options, inside, wanted, interval)
        with _drawing():
            return _live(options, inside, interval)


def _look(options: flags.Options, inside: look.Look) -> tuple[float, JSON]:
    seen = inside.processes(options.args[0])
    container = options.text("container")
    if container:
        seen["processes"] = [entry for entry in seen["processes"] if entry["container"] == container]
    return time.monotonic(), seen


def _once(options: flags.Options, inside: look.Look, wanted: str, interval: float) -> int:
    before = _look(options, inside)
    time.sleep(interval)
    now = _look(options, inside)
    rows = ordered(usage(before[1], now[1], now[0] - before[0]), options.text("sort"))
    if wanted in ("json", "yaml"):
        sys.stdout.write(lens.structured({**now[1], "kind": "PodTop", "processes": rows}, wanted))
    else:
        screen = Screen(sort=options.text("sort"))
        remember(screen, rows)
        sys.stdout.write("".join(line.rstrip() + "\n" for line in lines(screen, rows, width=1 << 16)))
    return 0


def _live(options: flags.Options, inside: look.Look, interval: float) -> int:
    screen = Screen(sort=options.text("sort"))
    before = _look(options, inside)
    _show(["Looking..."], rows=24)
    deadline = before[0] + interval
    while True:
        for key in _keys(deadline):
            if key in ("q", "\x03", "\x04"):
                return 0
            _pressed(screen, key, options, inside)
            _redraw(screen)
        now = _look(options, inside)
        screen.rows = ordered(usage(before[1], now[1], now[0] - before[0]), screen.sort)
        remember(screen, screen.rows)
        _redraw(screen)
        before, deadline = now, max(deadline + interval, now[0] + 0.1)


def _redraw(screen: Screen) -> None:
    columns, height = terminal.size(1)
    screen.chosen = max(min(screen.chosen, len(screen.rows) - 1), 0)
    _show(lines(screen, screen.rows, width=columns, height=height - 1, live=True), rows=height)


def _keys(deadline: float) -> Iterator[str]:
    """What is pressed until then: letters, ``up`` and ``down``."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            data = os.read(0, 64).decode(errors="replace")
            if not data:
                yield "q"
            arrows = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down"}
            yield from [arrows[data]] if data in arrows else list(data)


def _pressed(screen: Screen, key: str, options: flags.Options, inside: look.Look) -> None:
    if key in SORTS:
        screen.sort = SORTS[key]
        screen.rows = ordered(screen.rows, screen.sort)
    elif key in ("up", "k", "down", "j"):
        screen.chosen += -1 if key in ("up", "k") else 1
    elif key in SIGNALS and screen.rows:
        screen.said = _signal(inside, options.args[0], SIGNALS[key], screen.rows[min(screen.chosen, len(screen.rows) - 1)])


def _signal(inside: look.Look, pod: str, name: str, entry: JSON) -> str:
    spec = {"signal": name, "container": entry["container"], "process": str(entry["pid"])}
    try:
        answer = inside.signal(pod, spec)
    except failure.Failure as error:
        return lens.show(error)
    outcomes = ", ".join(each["outcome"] for each in answer["status"]["processes"])
    return f"{name} to {lens.show(entry['container'])} {entry['pid']}: {outcomes}"


def usage(before: JSON, now: JSON, seconds: float) -> list[JSON]:
    """The processes of ``now``, each with ``cpuPercent`` of one core since ``before``. Pure."""
    spent = {(entry["container"], entry["pid"], entry["startTicks"]): entry["cpuSeconds"] for entry in before["processes"]}
    return [{**entry, "cpuPercent": _percent(entry, spent, seconds)} for entry in now["processes"]]


def _percent(entry: JSON, spent: dict[tuple[str, int, int], float], seconds: float) -> float:
    """A process that was not there before spent all it has since."""
    used: float = entry["cpuSeconds"] - spent.get((entry["container"], entry["pid"], entry["startTicks"]), 0.0)
    return round(max(used, 0.0) / max(seconds, 0.001) * 100, 1)


def ordered(rows: Sequence[JSON], sort: str) -> list[JSON]:
    if sort == "pid":
        return sorted(rows, key=lambda row: row["pid"])
    name = "residentBytes" if sort == "memory" else "cpuPercent"
    return sorted(rows, key=lambda row: (-row[name], row["pid"]))


def remember(screen: Screen, rows: Sequence[JSON]) -> None:
    """Add one look to each container's history; one that is gone is forgotten."""
    names = dict.fromkeys(row["container"] for row in rows)
    for history, name in ((screen.cpu, "cpuPercent"), (screen.memory, "residentBytes")):
        for gone in [container for container in history if container not in names]:
            del history[gone]
        for container in names:
            total = sum(row[name] for row in rows if row["container"] == container)
            history.setdefault(container, deque(maxlen=HISTORY)).append(total)


def sparkline(values: Sequence[float], width: int, least: float = 0.0) -> str:
    """The newest ``width`` values as bars; the highest, or ``least`` if that is more, is a full one."""
    shown = list(values)[-width:]
    top = max([*shown, least]) or 1.0
    return "".join(BARS[min(round(value / top * (len(BARS) - 1)), len(BARS) - 1)] for value in shown).rjust(width)


def lines(screen: Screen, rows: Sequence[JSON], *, width: int, height: int = 1 << 16, live: bool = False) -> list[str]:
    """The whole picture, cut to the terminal's size. Pure."""
    found = []
    for container in sorted(screen.cpu):
        cpu, memory = screen.cpu[container], screen.memory[container]
        found.append(
            f"{lens.show(container):<16.16} CPU {cpu[-1]:>6.1f}% {sparkline(cpu, 24, 10.0)}  "
            f"RSS {lens.size(memory[-1]):>6} {sparkline(memory, 24)}"
        )
    head = f"{'PID':>8} {'CONTAINER':<16} {'USER':<10} {'STATE':<9} {'%CPU':>6} {'TIME':>8} {'RSS':>7} COMMAND"
    found += ["", head]
    room = max(height - len(found) - (1 if live else 0), 0)
    first = max(min(screen.chosen - room + 1, len(rows) - room), 0) if live else 0
    for number, row in enumerate(rows[first : first + room], first):
        text = _row(row)[:width]
        found.append(f"{REVERSE}{text}{PLAIN}" if live and number == screen.chosen else text)
    if live:
        footer = screen.said or "c cpu  m memory  p pid   up/down choose   h HUP  t TERM  x KILL   q quit"
        found = [line if line.startswith(REVERSE) else line[:width] for line in found] + [footer[:width]]
    return found


def _row(row: JSON) -> str:
    state = ps.STANDS_OUT.get(row["state"], row["state"])
    return (
        f"{row['pid']:>8} {lens.show(row['container']):<16.16} {lens.show(row['user']):<10.10} {state:<9.9} {row['cpuPercent']:>6.1f} "
        f"{ps.cpu(row['cpuSeconds']):>8} {lens.size(row['residentBytes']):>7} {ps.command(row)}"
    )


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """The other screen, without a cursor; as it was afterwards."""
    with terminal.raw(0):
        _write("\x1b[?1049h\x1b[?25l")
        try:
            yield
        finally:
            _write("\x1b[?25h\x1b[?1049l")


def _show(text: Sequence[str], *, rows: int) -> None:
    _write(HOME + "\r\n".join(line + CLEAR_LINE for line in text[:rows]) + CLEAR_BELOW)


def _write(text: str) -> None:
    data = text.encode(errors="replace")
    while data:
        data = data[os.write(1, data) :]

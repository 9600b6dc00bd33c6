"""What /proc says of a process, parsed.

A pid alone names nothing: numbers come round again. ``Identity`` is a pid and its start time, which together are unique until the
next boot. Called by ``runtime`` (adoption after a restart, exec's leftovers) and ``linux``. Source: proc(5).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_DEAD = ("Z", "X", "x")
_PF_EXITING = 0x4  # include/linux/sched.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """Fields of /proc/<pid>/stat. ``start_time`` in clock ticks after boot; ``arg_start`` 0 when we may not see it.

    ``exiting``: it was killed or has called exit, and the kernel takes it apart.
    """

    pid: int
    comm: str
    state: str
    parent: int
    session: int
    exiting: bool
    start_time: int
    arg_start: int
    arg_end: int


def parse_stat(text: str) -> Stat:
    """Parse one line; the command's name may itself hold spaces and parentheses."""
    left, right = text.index("("), text.rindex(")")
    fields = text[right + 2 :].split()
    return Stat(
        pid=int(text[:left]),
        comm=text[left + 1 : right],
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        exiting=bool(int(fields[6]) & _PF_EXITING),
        start_time=int(fields[19]),
        arg_start=int(fields[45]),
        arg_end=int(fields[46]),
    )


def stat(pid: int) -> Stat | None:
    """Return None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return parse_stat(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None


def cmdline(pid: int) -> list[str]:
    """Return the arguments; [] when there is no such process or it is a kernel thread."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            raw = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [part.decode(errors="surrogateescape") for part in raw.split(b"\0")[:-1]]


def pids() -> Iterator[int]:
    """Every process that can be seen."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One process, told from a later one with the same number."""

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """None when it is gone, or a zombie."""
        found = stat(pid)
        if found is None or found.state in _DEAD:
            return None
        return cls(pid=pid, start_time=found.start_time)

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self


def capabilities(name: str, pid: str = "self") -> int:
    """Return a capability set of a process as a bit mask. ``name``: CapEff, CapBnd, CapPrm, CapInh or CapAmb."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == name:
                return int(value, 16)
    return 0


@contextlib.contextmanager
def oom_score_adj(value: int) -> Iterator[None]:
    """What is started inside is worth this when memory runs out, from its first instruction on; so are we meanwhile: be quick.

    Not allowed: left as it is.
    """
    with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
        ours = file.read()
        with contextlib.suppress(OSError):
            file.write(str(value).encode())
        try:
            yield
        finally:
            file.write(ours)


def hide_arguments(pid: int, expected: Sequence[str], keep: int) -> bool:
    """Blank every argument after the first ``keep`` in the process's own memory, so that ``ps`` does not show them.

    Return False, with nothing done, while its arguments are not ``expected``: before it has executed its program the memory is
    another program's. Raises: OSError when the kernel refuses.
    """
    found = stat(pid)
    if found is None or not found.arg_start:
        return False
    wanted = b"".join(os.fsencode(word) + b"\0" for word in expected)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(found.arg_start)
        if memory.read(found.arg_end - found.arg_start) != wanted:
            return False
        offset = sum(len(os.fsencode(word)) + 1 for word in expected[:keep])
        memory.seek(found.arg_start + offset)
        memory.write(b"\0" * (len(wanted) - offset))
    return True

"""The files of /proc/<pid>, parsed. Pure: bytes in, values out. Called by ``processes`` and ``signals``.

What a process can write itself (its name, its arguments) is taken as bytes and never trusted to be text.
Source: proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from podspace.lens import model, safetext
from podspace.linux import idmap

_PIDS = re.compile(rb"\nNSpid:\t([\d\t]+)\n")


class Stat(NamedTuple):
    """Of /proc/<pid>/stat; times in clock ticks, ``resident`` in pages."""

    name: str
    state: str
    parent: int
    cpu_ticks: int
    threads: int
    start_ticks: int
    resident: int


def stat(raw: bytes) -> Stat:
    """The name is in parentheses and may itself hold any byte but NUL. Raises: ValueError, IndexError on what is no such line."""
    left, right = raw.index(b"("), raw.rindex(b")")
    fields = raw[right + 2 :].split(None, 22)  # of what comes after, nothing is wanted
    return Stat(
        name=safetext.decoded(raw[left + 1 : right]),
        state=fields[0].decode(),
        parent=int(fields[1]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        resident=max(int(fields[21]), 0),
    )


def status(raw: bytes) -> dict[str, str]:
    """Lines of /proc/<pid>/status by key. The kernel escapes the name in it, so no line can be faked."""
    pairs = (line.partition(":\t") for line in raw.decode("ascii", "replace").splitlines())
    return {key: value.strip() for key, _, value in pairs}


def credentials(fields: dict[str, str], ids: idmap.IdMap = idmap.HOST) -> model.Credentials:
    """Of what ``status`` returned, whose ids are the host's; as ``ids`` call them."""
    return model.Credentials(
        uids=_four([ids.shown(uid, 0)[0] for uid in _numbers(fields.get("Uid", ""))]),
        gids=_four([ids.shown(0, gid)[1] for gid in _numbers(fields.get("Gid", ""))]),
        groups=tuple(ids.shown(0, gid)[1] for gid in _numbers(fields.get("Groups", ""))),
        effective=_mask(fields, "CapEff"),
        permitted=_mask(fields, "CapPrm"),
        inheritable=_mask(fields, "CapInh"),
        bounding=_mask(fields, "CapBnd"),
        ambient=_mask(fields, "CapAmb"),
        no_new_privs=fields.get("NoNewPrivs") == "1",
        seccomp=int(fields.get("Seccomp") or 0),
    )


def pids(raw: bytes) -> tuple[int, ...]:
    """NSpid of /proc/<pid>/status: outermost first. () where the kernel has none to tell."""
    found = _PIDS.search(raw)
    return tuple(int(number) for number in found[1].split()) if found else ()


def has_signal(fields: dict[str, str], key: str, number: int) -> bool:
    """Whether a signal is in ``SigCgt``, ``SigIgn`` or ``SigBlk``."""
    return bool(_mask(fields, key) >> (number - 1) & 1)


def arguments(raw: bytes) -> tuple[str, ...]:
    """NUL ends each; one that rewrote its title may have left none."""
    if not raw:
        return ()
    return tuple(safetext.decoded(part) for part in raw.rstrip(b"\0").split(b"\0"))


def namespace_inode(link: str) -> int:
    """``pid:[4026531836]``."""
    return int(link[link.index("[") + 1 : -1])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


def _four(numbers: Sequence[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (*numbers, 0, 0, 0, 0)[:4]
    return first, second, third, fourth


def _mask(fields: dict[str, str], key: str) -> int:
    return int(fields.get(key) or "0", 16)

"""The table and the tree of ``podspace ps``."""

from __future__ import annotations

from podspace.cli import ps
from podspace.lens import present
from podspace.runtime.model import NamespaceMode
from tests.unit.lens import census


def test_a_shared_namespace_is_one_tree() -> None:
    text = ps.table(present.processes(census.SHARED), tree=True, now=1060.0)
    assert text.splitlines() == [
        "PID   HOSTPID   CONTAINER   USER   STATE      AGE   CPU       RSS     COMMAND",
        "1     1001      /pause      root   sleeping   60s   0:00.50   4.0Ki   /pause",
        "8     1008      nginx       root   sleeping   60s   0:00.50   4.0Ki   nginx: master process nginx -g daemon off;",
        "14    1014      nginx       root   sleeping   60s   0:00.50   4.0Ki   └─ nginx: worker process",
        "15    1015      shell       root   sleeping   60s   0:00.50   4.0Ki   sh",
    ]


def test_namespaces_of_their_own_are_a_tree_each() -> None:
    apart = census.census(census.MASTER, census.SHELL, mode=NamespaceMode.CONTAINER)
    text = ps.table(present.processes(apart), now=1060.0)
    assert "nginx: a process namespace of its own\n" in text
    assert "shell: a process namespace of its own\n" in text


def test_wide_says_who_shares_what() -> None:
    text = ps.table(present.processes(census.SHARED), wide=True, now=1060.0)
    assert "nginx: pid shared with /pause, shell; mnt of its own; user shared with /pause, shell, the node\n" in text


def test_a_hostile_title_stays_in_its_row() -> None:
    evil = census.process("nginx", 9, title="\x1b[2Jx\n1  1  shell")
    lines = ps.table(present.processes(census.census(evil)), now=1060.0).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("\\x1b[2Jx\\x0a1  1  shell")


def test_zombies_stand_out() -> None:
    text = ps.table(present.processes(census.census(census.process("nginx", 9, state="Z"))), now=1060.0)
    assert "ZOMBIE" in text


def test_parents_in_a_circle_lose_nobody() -> None:
    one, two = census.process("a", 2, parent=3), census.process("a", 3, parent=2)
    shown = ps.ordered(present.processes(census.census(one, two))["processes"])
    assert sorted(entry["pid"] for entry, _ in shown) == [2, 3]

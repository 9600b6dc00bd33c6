"""The files of /proc, hostile names included."""

from __future__ import annotations

import pytest

from podspace.lens import proctext

STAT = b"7 (evil) R 1 (x\n) S 3 7 7 0 -1 4194560 1 2 0 0 150 50 0 0 20 0 4 0 3456 1000 25 18446744073709551615 0 0"
STATUS = b"Name:\tevil\\nUid:\t0\nUid:\t101\t102\t103\t104\nGid:\t1\t2\t3\t4\nGroups:\t5 6 \nNSpid:\t4711\t8\nSigCgt:\t0000000000000001\n"


def test_a_name_with_parentheses_and_line_breaks_moves_no_field() -> None:
    stat = proctext.stat(STAT)
    assert stat.name == "evil) R 1 (x\n"
    assert (stat.state, stat.parent, stat.cpu_ticks, stat.threads, stat.start_ticks, stat.resident) == ("S", 3, 200, 4, 3456, 25)


def test_credentials_and_pids_come_from_status() -> None:
    fields = proctext.status(STATUS)
    credentials = proctext.credentials(fields)
    assert (credentials.uids, credentials.gids, credentials.groups) == ((101, 102, 103, 104), (1, 2, 3, 4), (5, 6))
    assert proctext.pids(STATUS) == (4711, 8)
    assert proctext.pids(b"Name:\tNSpid:\n") == ()
    assert proctext.has_signal(fields, "SigCgt", 1)
    assert not proctext.has_signal(fields, "SigCgt", 2)
    assert not proctext.has_signal(fields, "SigIgn", 1)


def test_arguments_end_with_nul_or_with_the_title() -> None:
    assert proctext.arguments(b"sh\0-c\0\xff\0") == ("sh", "-c", "\\xff")
    assert proctext.arguments(b"nginx: master process\0\0\0") == ("nginx: master process",)
    assert proctext.arguments(b"") == ()


def test_namespaces_are_inodes() -> None:
    assert proctext.namespace_inode("pid:[4026531836]") == 4026531836


@pytest.mark.parametrize("raw", [b"", b"7 (x", b"7 (x) S"])
def test_what_is_no_stat_line_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        proctext.stat(raw)

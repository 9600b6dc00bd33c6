"""The book of addresses: what it gives out, and what a killed server leaves in it."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest

from podspace import errors
from podspace.network import addresses

NETWORK = ipaddress.IPv4Network("10.74.7.0/29")


def book(folder: Path) -> addresses.Addresses:
    return addresses.Addresses(folder, NETWORK)


def test_gateway_and_broadcast_are_never_given_out(tmp_path: Path) -> None:
    given = [str(book(tmp_path).take(f"s{number}")) for number in range(5)]
    assert given == ["10.74.7.2", "10.74.7.3", "10.74.7.4", "10.74.7.5", "10.74.7.6"]


def test_a_full_subnet_says_what_to_do(tmp_path: Path) -> None:
    full = book(tmp_path)
    for number in range(5):
        full.take(f"s{number}")
    with pytest.raises(errors.Unavailable, match="--pod-cidr"):
        full.take("one too many")


def test_the_same_sandbox_keeps_its_address(tmp_path: Path) -> None:
    addressed = book(tmp_path)
    assert addressed.take("a") == addressed.take("a")


def test_a_freed_address_rests_while_others_are_free(tmp_path: Path) -> None:
    addressed = book(tmp_path)
    first = addressed.take("a")
    addressed.free("a")
    assert addressed.take("b") != first


def test_the_range_wraps_around_to_freed_addresses(tmp_path: Path) -> None:
    addressed = book(tmp_path)
    for number in range(5):
        addressed.take(f"s{number}")
    addressed.free("s0")
    assert str(addressed.take("again")) == "10.74.7.2"


def test_a_new_server_finds_what_the_killed_one_gave(tmp_path: Path) -> None:
    given = book(tmp_path).take("a")
    found = book(tmp_path)
    assert found.get("a") == given
    assert found.take("b") != given


def test_recovery_frees_what_nobody_uses(tmp_path: Path) -> None:
    before = book(tmp_path)
    before.take("dead")
    before.take("alive")
    after = book(tmp_path)
    after.keep_only(["alive"])
    assert after.owners() == {"alive"}
    assert len(list(tmp_path.iterdir())) == 1


def test_rubbish_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "10.74.7.4").write_text("no link")
    os.symlink("elsewhere", tmp_path / "192.168.0.1")
    assert book(tmp_path).owners() == frozenset()


def test_freeing_twice_is_fine(tmp_path: Path) -> None:
    addressed = book(tmp_path)
    addressed.take("a")
    addressed.free("a")
    addressed.free("a")
    assert addressed.owners() == frozenset()

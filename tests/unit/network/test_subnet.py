"""Choosing the Pods' subnet, and the text given to nft."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path

import pytest

from podspace import errors
from podspace.network import masquerade, subnet

Network = ipaddress.IPv4Network


def test_the_first_free_network_of_the_pool_is_chosen() -> None:
    used = [Network("10.74.0.0/24"), Network("10.74.1.128/25"), Network("192.168.0.0/16")]
    assert subnet.choose(used) == Network("10.74.2.0/24")


def test_the_default_route_takes_nothing() -> None:
    assert subnet.choose([Network("0.0.0.0/0")]) == Network("10.74.0.0/24")


def test_a_machine_that_routes_the_whole_pool_is_told_of_the_flag() -> None:
    with pytest.raises(errors.Unavailable, match="--pod-cidr"):
        subnet.choose([Network("10.0.0.0/8")])


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "network" / "subnet"
    assert subnet.load(path) is None
    for networks in ((Network("10.74.9.0/24"),), (Network("10.74.9.0/24"), ipaddress.IPv6Network("fd12::/64"))):
        subnet.save(path, networks)
        assert subnet.load(path) == networks


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "subnet").write_text("10.74")
    assert subnet.load(tmp_path / "subnet") is None


def test_both_families_may_be_given_and_addresses_have_the_same_place_in_each() -> None:
    home, other = subnet.parse("10.74.9.0/24, fd12::/64")
    assert isinstance(home, Network)
    assert subnet.twin(ipaddress.IPv4Address("10.74.9.7"), home, other) == ipaddress.IPv6Address("fd12::7")


def test_a_unique_local_network_is_nobody_elses() -> None:
    one, other = subnet.choose_unique_local(), subnet.choose_unique_local()
    assert one != other
    assert one.prefixlen == 64
    assert one.subnet_of(ipaddress.IPv6Network("fd00::/8"))


@pytest.mark.parametrize(
    "text", ["10.74.0.1/24", "fd00::/64", "10.74.0.0/30", "pods", "10.74.9.0/24,10.75.0.0/24", "10.74.9.0/24,fd00::/125", ""]
)
def test_a_bad_pod_cidr_is_refused_by_its_flag_name(text: str) -> None:
    with pytest.raises(errors.BadRequest, match="--pod-cidr"):
        subnet.parse(text)


def test_the_ruleset_replaces_only_our_own_table() -> None:
    text = masquerade.ruleset("podspace_ab", "ps-ab", Network("10.74.3.0/24"))
    assert text.startswith("add table ip podspace_ab\ndelete table ip podspace_ab\ntable ip podspace_ab {")
    assert 'ip saddr 10.74.3.0/24 ip daddr != 224.0.0.0/4 oifname != "ps-ab" masquerade' in text


def test_a_machine_that_translates_no_ipv6_still_translates_ipv4(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def load(rules: str) -> None:
        if "ip6" in rules:
            raise errors.ToolError(["nft", "-f", "-"], 1, "Operation not supported")

    monkeypatch.setattr(masquerade, "load", load)
    networks: list[subnet.Network] = [Network("10.74.3.0/24"), ipaddress.IPv6Network("fd00::/64")]
    assert asyncio.run(masquerade.install("t", "br0", networks)) == networks[:1]
    assert "Pods will not reach other machines by IPv6" in caplog.text

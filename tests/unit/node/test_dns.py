"""A Pod's resolv.conf: the cluster's or the machine's, and what dnsPolicy and dnsConfig make of it."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import dns
from podspace.runtime.model import DnsConfig
from tests.unit.node.builders import pod

HOST = "# comment\ndomain old.example\nsearch a.example b.example\nnameserver 192.0.2.1\noptions ndots:1 rotate\n"
WANTED = {"nameservers": ["192.0.2.1", "192.0.2.2"], "searches": ["c.example"], "options": [{"name": "ndots", "value": "5"}]}
OF_HOST = DnsConfig(servers=("192.0.2.1",), searches=("a.example", "b.example"), options=("ndots:1", "rotate"))
CLUSTER = dns.Cluster(servers=("192.0.2.53",), domain="c.local")
OF_CLUSTER = DnsConfig(
    servers=("192.0.2.53",), searches=("default.svc.c.local", "svc.c.local", "c.local", "a.example", "b.example"), options=("ndots:5",)
)


def made(spec: dict[str, Any], cluster: dns.Cluster | None = None) -> DnsConfig:
    found, said = dns.config(pod(spec), HOST, cluster or dns.Cluster())
    assert said == []
    return found


@pytest.mark.parametrize("policy", ["ClusterFirst", "ClusterFirstWithHostNet", "Default", None])
def test_without_a_cluster_the_machines_resolver_is_everybodys(policy: str | None) -> None:
    assert made({"dnsPolicy": policy}) == OF_HOST


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"dnsPolicy": "ClusterFirst"}, OF_CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, OF_HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, OF_CLUSTER),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, OF_CLUSTER),
        ({"dnsPolicy": "Default"}, OF_HOST),
    ],
)
def test_with_a_cluster_the_policy_says_whose_it_is(spec: dict[str, Any], expected: DnsConfig) -> None:
    assert made(spec, CLUSTER) == expected


def test_what_the_pod_adds_comes_after_and_its_options_win() -> None:
    found = made({"dnsConfig": WANTED})
    assert found.servers == ("192.0.2.1", "192.0.2.2")
    assert found.searches == ("a.example", "b.example", "c.example")
    assert found.options == ("rotate", "ndots:5")


def test_with_policy_none_nothing_of_the_machine_is_left() -> None:
    found = made({"dnsPolicy": "None", "dnsConfig": WANTED}, CLUSTER)
    assert found == DnsConfig(servers=("192.0.2.1", "192.0.2.2"), searches=("c.example",), options=("ndots:5",))


def test_what_a_resolver_does_not_bear_is_left_out_in_a_kubelets_words() -> None:
    more = {"nameservers": ["192.0.2.2", "192.0.2.3", "192.0.2.4"], "searches": [f"s{number}.example" for number in range(31)]}
    found, said = dns.config(pod({"dnsConfig": more}), HOST, dns.Cluster())
    assert found.servers == ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    assert len(found.searches) == 32
    assert said == [
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        "the applied nameserver line is: 192.0.2.1 192.0.2.2 192.0.2.3",
        f"Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {' '.join(found.searches)}",
    ]
    long = {"searches": ["x" * 254, *(f"{number}." + "y" * 200 for number in range(12))]}
    found, said = dns.config(pod({"dnsConfig": long}), HOST, dns.Cluster())
    assert len(" ".join(found.searches)) <= 2048
    assert "x" * 254 not in found.searches
    assert len(said) == 1

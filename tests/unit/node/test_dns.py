"""A Pod's resolv.conf: the machine's, and what dnsPolicy and dnsConfig make of it."""

from __future__ import annotations

from podspace.node import dns
from podspace.runtime.model import DnsConfig
from tests.unit.node.builders import pod

HOST = "# comment\ndomain old.example\nsearch a.example b.example\nnameserver 192.0.2.1\noptions ndots:1 rotate\n"
WANTED = {"nameservers": ["192.0.2.1", "192.0.2.2"], "searches": ["c.example"], "options": [{"name": "ndots", "value": "5"}]}


def test_the_machines_resolver_is_the_default() -> None:
    found = dns.config(pod(), HOST)
    assert found == DnsConfig(servers=("192.0.2.1",), searches=("a.example", "b.example"), options=("ndots:1", "rotate"))


def test_what_the_pod_adds_comes_after_and_its_options_win() -> None:
    found = dns.config(pod({"dnsConfig": WANTED}), HOST)
    assert found.servers == ("192.0.2.1", "192.0.2.2")
    assert found.searches == ("a.example", "b.example", "c.example")
    assert found.options == ("rotate", "ndots:5")


def test_with_policy_none_nothing_of_the_machine_is_left() -> None:
    found = dns.config(pod({"dnsPolicy": "None", "dnsConfig": WANTED}), HOST)
    assert found == DnsConfig(servers=("192.0.2.1", "192.0.2.2"), searches=("c.example",), options=("ndots:5",))

"""Ports of the host that lead into sandboxes."""

from __future__ import annotations

from podspace.network import hostports

WEB = hostports.HostPort(protocol="tcp", host_port=8080, container_port=80)


def test_each_port_is_a_rule() -> None:
    dns = hostports.HostPort(protocol="udp", host_port=53, container_port=5353, host_ip="192.0.2.1")
    text = hostports.ruleset("t", "br0", {"s": ("10.0.0.2", (WEB, dns))})
    assert "    tcp dport 8080 dnat to 10.0.0.2:80\n" in text
    assert "    ip daddr 192.0.2.1 udp dport 53 dnat to 10.0.0.2:5353\n" in text


def test_ports_clash_when_an_address_would_have_both() -> None:
    here = hostports.HostPort(protocol="tcp", host_port=8080, container_port=1, host_ip="192.0.2.1")
    there = hostports.HostPort(protocol="tcp", host_port=8080, container_port=1, host_ip="192.0.2.2")
    assert WEB.clashes(here)
    assert here.clashes(WEB)
    assert not here.clashes(there)
    assert not WEB.clashes(hostports.HostPort(protocol="udp", host_port=8080, container_port=80))

"""Ports of the host that lead into sandboxes."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from podspace import errors
from podspace.network import hostports
from podspace.network.attachment import HostPort

WEB = HostPort(protocol="tcp", host_port=8080, container_port=80)
HOME = ipaddress.IPv4Network("10.0.0.0/24")
HOME6 = ipaddress.IPv6Network("fd00::/64")
ADDRESSES = ("10.0.0.2", "fd00::2")


def at(host_ip: str, protocol: str = "tcp") -> HostPort:
    return HostPort(protocol=protocol, host_port=8080, container_port=80, host_ip=host_ip)


def test_each_port_is_a_rule_of_its_family() -> None:
    dns = HostPort(protocol="udp", host_port=53, container_port=5353, host_ip="192.0.2.1")
    published = {"s": (ADDRESSES, (WEB, dns, at("2001:db8::1")))}
    text = hostports.ruleset("t", "br0", HOME, published)
    assert "    tcp dport 8080 dnat to 10.0.0.2:80\n" in text
    assert "    ip daddr 192.0.2.1 udp dport 53 dnat to 10.0.0.2:5353\n" in text
    assert "2001" not in text
    text = hostports.ruleset("t", "br0", HOME6, published)
    assert "    tcp dport 8080 dnat to [fd00::2]:80\n" in text
    assert "    ip6 daddr 2001:db8::1 tcp dport 8080 dnat to [fd00::2]:80\n" in text
    assert "192" not in text


def test_the_loopback_that_ports_need_is_shut_to_pods_in_the_same_transaction() -> None:
    assert 'iifname "br0" ip daddr 127.0.0.0/8 drop' in hostports.ruleset("t", "br0", HOME, {"s": (ADDRESSES, (WEB,))})


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("", "", True),
        ("", "192.0.2.1", True),
        ("", "2001:db8::1", True),
        ("0.0.0.0", "192.0.2.1", True),
        ("0.0.0.0", "::", False),
        ("0.0.0.0", "2001:db8::1", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_ports_clash_when_an_address_would_have_both(one: str, other: str, clash: bool) -> None:
    assert at(one).clashes(at(other)) is clash
    assert at(other).clashes(at(one)) is clash
    assert not at(one).clashes(at(other, "udp"))


def test_ports_that_come_at_once_are_few_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    async def load(rules: str) -> None:
        loaded.append(rules)
        await asyncio.sleep(0)

    async def main() -> None:
        ports = hostports.HostPorts("t", "no-such-bridge")
        ports.serve([HOME])
        monkeypatch.setattr("podspace.network.masquerade.load", load)
        monkeypatch.setattr(ports, "open_loopback", lambda: None)
        each = [HostPort(protocol="tcp", host_port=8000 + number, container_port=80) for number in range(50)]
        await asyncio.gather(*(ports.publish(f"s{number}", ADDRESSES, (port,)) for number, port in enumerate(each)))
        assert len(loaded) <= 2
        assert all(f"tcp dport {port.host_port} " in loaded[-1] for port in each)
        await asyncio.gather(*(ports.withdraw(f"s{number}") for number in range(50)))
        assert len(loaded) <= 4

    asyncio.run(main())


@pytest.mark.parametrize(
    ("port", "addresses", "said"),
    [
        (at("::1"), ADDRESSES, "at ::1: the kernel lets nothing of IPv6's loopback out of it"),
        (at("2001:db8::1"), ADDRESSES[:1], "at 2001:db8::1: the network of Pods has no IPv6"),
    ],
)
def test_a_port_that_cannot_lead_anywhere_is_refused(port: HostPort, addresses: tuple[str, ...], said: str) -> None:
    with pytest.raises(errors.Unsupported, match=said):
        asyncio.run(hostports.HostPorts("t", "br0").publish("s", addresses, (port,)))

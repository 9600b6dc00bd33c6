"""The bridge network in a machine of its own: each test runs in a new network namespace, so the real one is not touched."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podspace import errors, settings
from podspace.linux import netns, qdisc, rtnetlink
from podspace.network import bridge
from podspace.network.attachment import Attachment, HostPort

pytestmark = pytest.mark.root

Body = Callable[[bridge.BridgeNetwork], Awaitable[None]]


@contextlib.contextmanager
def new_netns() -> Iterator[int]:
    """A process that does nothing in a netns of its own."""
    ready = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
    assert ready.stdout is not None
    with ready:
        ready.stdout.readline()
        try:
            yield ready.pid
        finally:
            ready.kill()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Body], None]]:
    """Run a test's body as if on a machine of its own; folders are those of one server."""
    monkeypatch.setattr(bridge, "CHOICE_LOCK", tmp_path / "lock")
    with new_netns() as pid:
        yield lambda body: netns.inside(pid, lambda: asyncio.run(_served(body, tmp_path)))


async def _served(body: Body, root: Path, pod_cidr: str = "") -> None:
    network = bridge.BridgeNetwork(settings.Settings(paths=settings.Paths.under(root), pod_cidr=pod_cidr))
    await network.setup()
    try:
        await body(network)
    finally:
        network.close()


def asking(sandbox_id: str, pid: int, **wanted: Any) -> Attachment:
    return Attachment(sandbox_id=sandbox_id, pid=pid, **wanted)


def _links() -> dict[str, rtnetlink.Link]:
    with rtnetlink.Route() as host:
        return {link.name: link for link in host.links()}


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _take_away(link: str) -> None:
    _run("ip", "link", "delete", link)


def _tables() -> str:
    return _run("nft", "list", "tables")


async def _listen(pid: int, address: str) -> socket.socket:
    listener = netns.open_socket(pid, socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.bind((address, 80))
    listener.listen()
    return listener


async def _connect(pid: int | None, address: str, port: int = 80, *, seconds: float = 3, source: str = "") -> None:
    """Raises if nothing answers at once."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family) if pid is None else netns.open_socket(pid, family)
    with client:
        client.settimeout(seconds)
        if source:
            client.bind((source, 0))
        await asyncio.get_running_loop().run_in_executor(None, client.connect, (address, port))


def test_pods_reach_each_other_and_the_host_reaches_them(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            [first], [second] = await asyncio.gather(network.attach(asking("one", one)), network.attach(asking("two", two)))
            assert first != second
            with await _listen(one, "0.0.0.0"):
                await _connect(None, first)
                await _connect(two, first)
                await _connect(one, "127.0.0.1")
            with socket.create_server(("0.0.0.0", 80)):
                gateway = first.rsplit(".", 1)[0] + ".1"
                await _connect(two, gateway)

    machine(body)


def test_a_pod_reaches_a_machine_outside_with_the_hosts_address(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as outside, new_netns() as pod:
            _wire_uplink(outside)
            await network.attach(asking("pod", pod))
            with await _listen(outside, "198.51.100.2") as listener:
                await _connect(pod, "198.51.100.2")
                accepted, (source, _) = listener.accept()
                accepted.close()
            assert source == "198.51.100.1"

    machine(body)


def _wire_uplink(outside: int) -> None:
    _run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", str(outside))
    inside = ("nsenter", "-t", str(outside), "-n")
    for netns_of, link, host in (((), "uplink", 1), (inside, "eth0", 2)):
        _run(*netns_of, "ip", "address", "add", f"198.51.100.{host}/24", "dev", link)
        _run(*netns_of, "ip", "address", "add", f"2001:db8::{host}/64", "dev", link, "nodad")
        _run(*netns_of, "ip", "link", "set", link, "up")
        _run(*netns_of, "ip", "link", "set", "lo", "up")


def test_a_machine_with_ipv6_gives_both_and_lets_pods_out_by_both(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(first_server: bridge.BridgeNetwork) -> None:
        with new_netns() as outside, new_netns() as one, new_netns() as two:
            assert len(await first_server.attach(asking("one", one))) == 1
            _wire_uplink(outside)
            await _served(functools.partial(_dual, outside, two), tmp_path / "dual")

    async def _dual(outside: int, pod: int, network: bridge.BridgeNetwork) -> None:
        kept = [Path(f"/proc/sys/net/ipv6/conf/{name}").read_text() for name in ("all/forwarding", "uplink/accept_ra")]
        assert kept == ["1\n", "2\n"]  # the machine forwards, and goes on listening to its own router
        address, address6 = await network.attach(asking("pod", pod))
        assert address.startswith("10.74.")
        assert address6.startswith("fd")
        with await _listen(pod, "::"):
            await _connect(None, address6)
        with await _listen(outside, "2001:db8::2") as listener:
            await _connect(pod, "2001:db8::2")
            accepted, (source, *_) = listener.accept()
            accepted.close()
            assert source == "2001:db8::1"
        with new_netns() as without:
            _run(
                "nsenter",
                "-t",
                str(without),
                "-n",
                "sysctl",
                "-qw",
                "net.ipv6.conf.all.disable_ipv6=1",
                "net.ipv6.conf.default.disable_ipv6=1",
            )
            assert len(await network.attach(asking("without", without))) == 1
        await _served(functools.partial(_same_again, address6), tmp_path / "dual")

    async def _same_again(address6: str, network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            [_, other] = await network.attach(asking("later", pid))
            assert other.rpartition(":")[0] == address6.rpartition(":")[0]  # the network was kept

    machine(body)


def test_a_machine_that_turns_ipv6_off_for_new_interfaces_has_it_on_its_bridge(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(_: bridge.BridgeNetwork) -> None:
        with new_netns() as outside:
            _wire_uplink(outside)
            _run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
            await _served(_dual, tmp_path / "dual")

    async def _dual(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pod:
            _, address6 = await network.attach(asking("pod", pod))
            with await _listen(pod, "::"):
                await _connect(None, address6)

    machine(body)


def test_nobody_on_the_bridge_is_taken_for_a_router(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            await network.attach(asking("one", pid))
            bridge_name = next(name for name, link in _links().items() if link.kind == "bridge")
            accept_ra = "/proc/sys/net/ipv6/conf/{}/accept_ra"
            assert Path(accept_ra.format(bridge_name)).read_text() == "0\n"
            assert netns.inside(pid, lambda: Path(accept_ra.format("eth0")).read_text()) == "0\n"

    machine(body)


@pytest.mark.parametrize("bridge_netfilter", ["0", "1"])
def test_a_port_of_the_host_is_reached_from_everywhere(machine: Callable[[Body], None], tmp_path: Path, bridge_netfilter: str) -> None:
    """With br_netfilter iptables sees what is bridged, and translates it there already. Without its module it is as if it were off."""

    async def body(_: bridge.BridgeNetwork) -> None:
        switches = [Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}") for family in ("iptables", "ip6tables")]
        if bridge_netfilter == "1" and not switches[0].exists():
            pytest.skip("the kernel's module br_netfilter is not loaded")
        for switch in switches:
            if switch.exists():
                switch.write_text(bridge_netfilter)
        with new_netns() as outside:
            _wire_uplink(outside)
            await _served(functools.partial(_reached, outside), tmp_path / "dual")

    async def _reached(outside: int, network: bridge.BridgeNetwork) -> None:
        with new_netns() as pod, new_netns() as neighbour, socket.create_server(("127.0.0.1", 99)):
            await network.attach(asking("pod", pod, host_ports=(HostPort(protocol="tcp", host_port=8080, container_port=80),)))
            [gateway, *_] = await network.attach(asking("neighbour", neighbour))
            gateway = gateway.rpartition(".")[0] + ".1"
            with await _listen(pod, "::"):
                for caller in (None, outside, neighbour, pod):
                    await _connect(caller, "198.51.100.1", 8080)
                    await _connect(caller, "2001:db8::1", 8080)
                await _connect(None, "127.0.0.1", 8080)
                await _connect(None, "127.0.0.1", 8080, source="198.51.100.1")  # NodeConformance does
                await _connect(neighbour, gateway, 8080)
            assert not await _slips_in(neighbour, gateway)
            await network.detach("pod")
            assert "_ports" not in _tables()
            with pytest.raises(ConnectionRefusedError):
                await _connect(None, "198.51.100.1", 8080)

    machine(body)


async def _slips_in(pid: int, gateway: str) -> bool:
    """Whether a Pod that may change its routes reaches what listens on the host's loopback (CVE-2020-8558)."""
    for words in (
        "ip address del 127.0.0.1/8 dev lo",
        f"ip route add 127.0.0.0/8 via {gateway} dev eth0",
        "sysctl -qw net.ipv4.conf.all.route_localnet=1",
    ):
        _run("nsenter", "-t", str(pid), "-n", *words.split())
    try:
        await _connect(pid, "127.0.0.1", 99, seconds=0.5)
    except OSError:
        return False
    return True


def test_ports_of_one_address_and_of_datagrams_and_what_is_taken(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(_: bridge.BridgeNetwork) -> None:
        with new_netns() as outside:
            _wire_uplink(outside)
            await _served(_ports, tmp_path / "dual")

    async def _ports(network: bridge.BridgeNetwork) -> None:
        udp = HostPort(protocol="udp", host_port=8081, container_port=81)
        one = HostPort(protocol="tcp", host_port=8080, container_port=80, host_ip="198.51.100.1")
        with new_netns() as pod, new_netns() as other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("198.51.100.1", 8081))
            client.send(b"too early")
            with contextlib.suppress(ConnectionRefusedError):
                client.send(b"and again: the flow is known now")
            await network.attach(asking("pod", pod, host_ports=(udp, one)))
            receiver = netns.open_socket(pod, kind=socket.SOCK_DGRAM)
            with receiver:
                receiver.bind(("0.0.0.0", 81))
                receiver.settimeout(5)
                with contextlib.suppress(ConnectionRefusedError):
                    client.send(b"hello")
                client.send(b"hello")
                assert receiver.recv(100) == b"hello"
            with await _listen(pod, "0.0.0.0"):
                await _connect(None, "198.51.100.1", 8080)
                with pytest.raises(ConnectionRefusedError):
                    await _connect(None, "127.0.0.1", 8080)
            with pytest.raises(errors.Unavailable, match="host port 8081/udp is taken by sandbox pod"):
                await network.attach(asking("other", other, host_ports=(udp,)))
            await network.detach("other")
            sctp = HostPort(protocol="sctp", host_port=8080, container_port=80)
            await network.attach(asking("other", other, host_ports=(sctp,)))
            assert "sctp dport 8080 dnat to" in _run("nft", "list", "ruleset")

    machine(body)


def test_a_new_server_leads_ports_to_live_sandboxes_again(machine: Callable[[Body], None], tmp_path: Path) -> None:
    wanted = (HostPort(protocol="tcp", host_port=8080, container_port=80),)

    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pod:
            await network.attach(asking("pod", pod, host_ports=wanted))
            _run("nft", "flush", "ruleset")
            _run("ip", "link", "set", "lo", "up")
            with await _listen(pod, "0.0.0.0"):
                await _served(functools.partial(_recovered, pod), tmp_path)

    async def _recovered(pod: int, again: bridge.BridgeNetwork) -> None:
        await again.recover([asking("pod", pod, host_ports=wanted)])
        await _connect(None, "127.0.0.1", 8080)
        _take_away(next(name for name, link in _links().items() if link.kind == "bridge"))
        with new_netns() as other:
            await again.attach(asking("other", other))  # which makes the bridge anew
            await _connect(None, "127.0.0.1", 8080)
        await _served(_died, tmp_path)

    async def _died(again: bridge.BridgeNetwork) -> None:
        await again.recover([])
        assert "_ports" not in _tables()
        name = next(name for name, link in _links().items() if link.kind == "bridge")
        assert Path(f"/proc/sys/net/ipv4/conf/{name}/route_localnet").read_text() == "0\n"

    machine(body)


def test_a_slow_pod_is_slow_both_ways(machine: Callable[[Body], None]) -> None:
    annotations = {"kubernetes.io/ingress-bandwidth": "16M", "kubernetes.io/egress-bandwidth": "16M"}

    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as slow, new_netns() as fast:
            await network.attach(asking("slow", slow, annotations=annotations))
            await network.attach(asking("fast", fast))
            for listens, sends in ((slow, fast), (fast, slow)):
                bits = await _throughput(listens, sends, 2_000_000)
                assert 5e5 < bits < 24e6, bits  # on a busy machine it may be slower than it has to
            await network.detach("slow")
            assert not [name for name, link in _links().items() if link.kind == "ifb" and name.startswith("ps")]
        with new_netns() as pid, pytest.raises(errors.BadRequest, match=r"resource is unreasonably small \(< 1kbit\)"):
            await network.attach(asking("tiny", pid, annotations={"kubernetes.io/egress-bandwidth": "1"}))

    machine(body)


async def _throughput(listens: int, sends: int, count: int) -> float:
    """Bits a second, but for the first bucketful."""
    address = netns.inside(listens, lambda: _run("hostname", "-I").split()[0])
    with await _listen(listens, "0.0.0.0") as listener, netns.open_socket(sends) as client:
        client.connect((address, 80))
        accepted, _ = listener.accept()
        with accepted:
            received, began = 0, time.monotonic()
            sending = asyncio.get_running_loop().run_in_executor(None, client.sendall, bytes(count))
            while received < count:
                received += len(await asyncio.to_thread(accepted.recv, 65536))
            await sending
            return (count - qdisc.LEAST_BURST_BYTES) * 8 / (time.monotonic() - began)


def test_many_sandboxes_attached_at_once_get_different_addresses(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with contextlib.ExitStack() as stack:
            pids = [stack.enter_context(new_netns()) for _ in range(12)]
            given = await asyncio.gather(*(network.attach(asking(f"s{number}", pid)) for number, pid in enumerate(pids)))
            assert len(set(given)) == len(pids)

    machine(body)


def test_detach_is_idempotent_and_leaves_no_link(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            await network.attach(asking("one", pid))
            assert network.host_interface("one") in _links()
            await network.detach("one")
            await network.detach("one")
            assert network.host_interface("one") not in _links()

    machine(body)


def test_attaching_again_repairs_and_keeps_the_address(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            assert await network.attach(asking("one", pid)) == await network.attach(asking("one", pid))

    machine(body)


def test_a_process_that_is_gone_costs_no_address(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            pass
        with pytest.raises(errors.Unavailable, match="sandbox one"):
            await network.attach(asking("one", pid))
        assert await network.teardown()

    machine(body)


def test_a_new_server_keeps_live_sandboxes_and_clears_the_rest(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            alive = await network.attach(asking("alive", one))
            await network.attach(asking("dead", two))
            await _served(functools.partial(_recovered, alive, one), tmp_path)

    async def _recovered(alive: tuple[str, ...], pid: int, again: bridge.BridgeNetwork) -> None:
        await again.recover([asking("alive", pid)])
        assert again.host_interface("dead") not in _links()
        assert again.host_interface("alive") in _links()
        with await _listen(pid, "0.0.0.0"):
            await _connect(None, alive[0])
        assert not await again.teardown()

    machine(body)


def test_a_bridge_that_was_taken_away_comes_back_with_the_next_pod(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            [first] = await network.attach(asking("one", one))
            _take_away(next(name for name, link in _links().items() if link.kind == "bridge"))
            await network.attach(asking("two", two))
            with await _listen(one, "0.0.0.0"):
                await _connect(None, first)
                await _connect(two, first)

    machine(body)


def test_a_new_server_gives_live_sandboxes_back_what_was_taken_away(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            unplugged, kept = await network.attach(asking("one", one)), await network.attach(asking("two", two))
            _take_away(network.host_interface("one"))
            _take_away(next(name for name, link in _links().items() if link.kind == "bridge"))
            await _served(functools.partial(_recovered, {"one": one, "two": two}, {one: unplugged[0], two: kept[0]}), tmp_path)

    async def _recovered(live: dict[str, int], addresses: dict[int, str], again: bridge.BridgeNetwork) -> None:
        await again.recover([asking(name, pid) for name, pid in live.items()])
        for pid, address in addresses.items():
            with await _listen(pid, "0.0.0.0"):
                await _connect(None, address)

    machine(body)


def test_teardown_takes_bridge_and_table_away(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        assert "podspace_" in _tables()
        assert await network.teardown()
        assert set(_links()) <= {"lo", "ifb0", "ifb1"}
        assert _tables() == ""

    machine(body)


def test_a_machine_without_nft_still_gives_addresses(
    machine: Callable[[Body], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("podspace.network.masquerade.NFT", "no-such-nft")

    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            assert await network.attach(asking("one", pid))

    machine(body)
    assert "install the package nftables" in caplog.text


def test_a_subnet_in_use_is_not_chosen(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        other = functools.partial(_served, _other_server, tmp_path / "other")
        with new_netns() as pid:
            [address] = await network.attach(asking("one", pid))
            assert address.startswith("10.74.0.")
            await other()

    async def _other_server(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            [address] = await network.attach(asking("one", pid))
            assert address.startswith("10.74.1.")

    machine(body)

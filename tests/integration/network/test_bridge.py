"""The bridge network in a machine of its own: each test runs in a new network namespace, so the real one is not touched."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from podspace import errors, settings
from podspace.linux import netlink, netns
from podspace.network import bridge

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


def _links() -> dict[str, netlink.Link]:
    with netlink.Route() as host:
        return {link.name: link for link in host.links()}


def _take_away(link: str) -> None:
    subprocess.run(["ip", "link", "delete", link], check=True)


def _tables() -> str:
    return subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout


async def _listen(pid: int, address: str) -> socket.socket:
    listener = netns.open_socket(pid)
    listener.bind((address, 80))
    listener.listen()
    return listener


async def _connect(pid: int | None, address: str) -> None:
    """Raises if nothing answers at once."""
    client = socket.socket() if pid is None else netns.open_socket(pid)
    with client:
        client.settimeout(3)
        await asyncio.get_running_loop().run_in_executor(None, client.connect, (address, 80))


def test_pods_reach_each_other_and_the_host_reaches_them(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            [first], [second] = await asyncio.gather(network.attach("one", one), network.attach("two", two))
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
            await network.attach("pod", pod)
            with await _listen(outside, "198.51.100.2") as listener:
                await _connect(pod, "198.51.100.2")
                accepted, (source, _) = listener.accept()
                accepted.close()
            assert source == "198.51.100.1"

    machine(body)


def _wire_uplink(outside: int) -> None:
    subprocess.run(["ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", str(outside)], check=True)
    subprocess.run(["ip", "address", "add", "198.51.100.1/24", "dev", "uplink"], check=True)
    subprocess.run(["ip", "link", "set", "uplink", "up"], check=True)
    inside = ["nsenter", "-t", str(outside), "-n", "ip"]
    subprocess.run([*inside, "address", "add", "198.51.100.2/24", "dev", "eth0"], check=True)
    subprocess.run([*inside, "link", "set", "eth0", "up"], check=True)


def test_many_sandboxes_attached_at_once_get_different_addresses(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with contextlib.ExitStack() as stack:
            pids = [stack.enter_context(new_netns()) for _ in range(12)]
            given = await asyncio.gather(*(network.attach(f"s{number}", pid) for number, pid in enumerate(pids)))
            assert len(set(given)) == len(pids)

    machine(body)


def test_detach_is_idempotent_and_leaves_no_link(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            await network.attach("one", pid)
            assert network.host_interface("one") in _links()
            await network.detach("one")
            await network.detach("one")
            assert network.host_interface("one") not in _links()

    machine(body)


def test_attaching_again_repairs_and_keeps_the_address(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            assert await network.attach("one", pid) == await network.attach("one", pid)

    machine(body)


def test_a_process_that_is_gone_costs_no_address(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            pass
        with pytest.raises(errors.Unavailable, match="sandbox one"):
            await network.attach("one", pid)
        assert await network.teardown()

    machine(body)


def test_a_new_server_keeps_live_sandboxes_and_clears_the_rest(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            alive = await network.attach("alive", one)
            await network.attach("dead", two)
            await _served(functools.partial(_recovered, alive, one), tmp_path)

    async def _recovered(alive: tuple[str, ...], pid: int, again: bridge.BridgeNetwork) -> None:
        await again.recover({"alive": pid})
        assert again.host_interface("dead") not in _links()
        assert again.host_interface("alive") in _links()
        with await _listen(pid, "0.0.0.0"):
            await _connect(None, alive[0])
        assert not await again.teardown()

    machine(body)


def test_a_bridge_that_was_taken_away_comes_back_with_the_next_pod(machine: Callable[[Body], None]) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            [first] = await network.attach("one", one)
            _take_away(next(name for name, link in _links().items() if link.kind == "bridge"))
            await network.attach("two", two)
            with await _listen(one, "0.0.0.0"):
                await _connect(None, first)
                await _connect(two, first)

    machine(body)


def test_a_new_server_gives_live_sandboxes_back_what_was_taken_away(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        with new_netns() as one, new_netns() as two:
            unplugged, kept = await network.attach("one", one), await network.attach("two", two)
            _take_away(network.host_interface("one"))
            _take_away(next(name for name, link in _links().items() if link.kind == "bridge"))
            await _served(functools.partial(_recovered, {"one": one, "two": two}, {one: unplugged[0], two: kept[0]}), tmp_path)

    async def _recovered(live: dict[str, int], addresses: dict[int, str], again: bridge.BridgeNetwork) -> None:
        await again.recover(live)
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
            assert await network.attach("one", pid)

    machine(body)
    assert "install the package nftables" in caplog.text


def test_a_subnet_in_use_is_not_chosen(machine: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(network: bridge.BridgeNetwork) -> None:
        other = functools.partial(_served, _other_server, tmp_path / "other")
        with new_netns() as pid:
            [address] = await network.attach("one", pid)
            assert address.startswith("10.74.0.")
            await other()

    async def _other_server(network: bridge.BridgeNetwork) -> None:
        with new_netns() as pid:
            [address] = await network.attach("one", pid)
            assert address.startswith("10.74.1.")

    machine(body)

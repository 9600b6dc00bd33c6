"""The network of Pods without CNI: one bridge, one veth pair per sandbox, addresses from a /24.

Called by ``runtime`` with the id of a sandbox and the pid of its /pause; knows neither Pods nor containers. Attaching is five
netlink messages (about 1 ms) and no subprocess. What exists is in the kernel and in ``run/network``; a server that was killed finds
it there again with ``recover``.

A sandbox's MAC address is made from its IPv4 address, so that a neighbour's ARP entry stays right when an address is used again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import fcntl
import functools
import hashlib
import ipaddress
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from podspace import errors
from podspace import settings as settings_module
from podspace.linux import netlink, netns
from podspace.network import addresses, hostports, masquerade, subnet

INTERFACE = "eth0"  # what containers call it
LOOPBACK_INDEX = 1
DEFAULT_MTU = 1500
# Two servers that start at once must not choose the same subnet.
CHOICE_LOCK = Path("/run/podspace-network.lock")

Result = TypeVar("Result")
log = logging.getLogger(__name__)


class BridgeNetwork:
    """Gives sandboxes their network. One per server; ``setup`` first."""

    def __init__(self, settings: settings_module.Settings) -> None:
        self._settings = settings
        self._bridge = settings.bridge_name
        self._table = masquerade.table_name(settings.paths.instance)
        self._prefix = "ps" + (settings.paths.instance or "0000000")[:5]
        self._folder = settings.paths.run / "network"
        # Threads of our own: the loop's default ones may all be busy unpacking images.
        self._threads = concurrent.futures.ThreadPoolExecutor(max_workers=4, thread_name_prefix="network")
        self._addresses: addresses.Addresses | None = None
        self._bridge_index = 0
        self._restoring = threading.Lock()
        self._prefixlen = 24
        self._host_ports = hostports.HostPorts(self._table, self._bridge)
        self._mtu = DEFAULT_MTU

    async def setup(self) -> None:
        """Make the bridge, give it the gateway's address, and let Pods out. Idempotent.

        Raises: errors.BadRequest (--pod-cidr), errors.Unavailable (no free subnet), errors.Unsupported (not root, no bridges).
        """
        network = await self._in_thread(self._setup_bridge)
        self._addresses = addresses.Addresses(self._folder / "addresses", network)
        masquerade.enable_forwarding()
        await masquerade.install(self._table, self._bridge, network)

    async def attach(self, sandbox_id: str, pid: int) -> tuple[str, ...]:
        """Configure lo and eth0 in the netns of ``pid``; return the sandbox's addresses. Calling it again repairs.

        Raises: errors.Unavailable (subnet full, no such process). Cancelled: nothing is left behind half done; ``detach`` undoes.
        """
        book = self._book()
        known = book.get(sandbox_id) is not None
        address = book.take(sandbox_id)
        try:
            await self._in_thread(functools.partial(self._plug, sandbox_id, pid, address))
        except OSError as error:
            if not known:
                await self.detach(sandbox_id)
            raise errors.Unavailable(f"network of sandbox {sandbox_id}: {error.filename}: {error.strerror}") from error
        return (str(address),)

    async def detach(self, sandbox_id: str) -> None:
        """Take the veth pair away and free the address. Idempotent; the sandbox's processes may be gone long since."""
        await self._host_ports.withdraw(sandbox_id)
        await self._in_thread(functools.partial(_unplug, self.host_interface(sandbox_id)))
        self._book().free(sandbox_id)

    async def publish(self, sandbox_id: str, address: str, wanted: Sequence[hostports.HostPort]) -> None:
        """Lead ports of the host to an attached sandbox, until it is detached. See ``HostPorts.publish``."""
        await self._host_ports.publish(sandbox_id, address, wanted)

    async def recover(self, live: Mapping[str, int]) -> None:
        """After ``setup``: free what belongs to no sandbox of ``live`` (id -> pid of its /pause), plug in again what lost its veth."""
        wanted = {self.host_interface(sandbox_id): sandbox_id for sandbox_id in live}
        present = await self._in_thread(self._our_interfaces)
        for name in present:
            if name not in wanted:
                await self._in_thread(functools.partial(_unplug, name))
        book = self._book()
        book.keep_only(live)
        for name in wanted.keys() - set(present):
            await self._plug_again(wanted[name], live[wanted[name]])

    async def _plug_again(self, sandbox_id: str, pid: int) -> None:
        """Give a sandbox that runs its network back, if its address is still on file."""
        address = self._book().get(sandbox_id)
        if address is None:
            return
        try:
            await self._in_thread(functools.partial(self._plug, sandbox_id, pid, address))
        except OSError as error:
            log.warning("network of sandbox %s: %s: %s", sandbox_id, error.filename, error.strerror)

    async def teardown(self) -> bool:
        """Remove bridge and NAT if no sandbox has an address any more; tell whether it did."""
        if self._addresses is not None and self._addresses.owners():
            return False
        if not self._settings.bridge:  # a bridge the user named is the user's
            await self._in_thread(functools.partial(_unplug, self._bridge))
        await masquerade.remove(self._table)
        await self._host_ports.remove()
        self._bridge_index = 0
        return True

    def close(self) -> None:
        """End the threads; the network stays."""
        self._threads.shutdown(wait=True)

    def host_interface(self, sandbox_id: str) -> str:
        """Name of the veth's end on the host: at most 15 characters, told from another server's by its prefix."""
        return self._prefix + hashlib.sha256(sandbox_id.encode()).hexdigest()[:8]

    def _book(self) -> addresses.Addresses:
        if self._addresses is None:
            raise errors.FailedPrecondition("the network is not set up yet")
        return self._addresses

    def _setup_bridge(self) -> ipaddress.IPv4Network:
        try:
            with _choice_lock(), netlink.Route() as host:
                network = self._network(host)
                link = self._ensure_bridge(host, network)
        except OSError as error:
            raise errors.Unsupported(f"cannot make the network of Pods: {error.filename}: {error.strerror}") from error
        self._bridge_index = link.index
        return network

    def _network(self, host: netlink.Route) -> ipaddress.IPv4Network:
        """The subnet: the flag's, else the one of an earlier start unless the machine has it elsewhere by now, else a free one."""
        links = {link.index: link for link in host.links()}
        routes = host.routes()
        used = [network for network, oif in routes if oif not in links or links[oif].name != self._bridge]
        used += [address.network for index, address in host.addresses() if index in links and links[index].name != self._bridge]
        uplink = next((links[oif] for network, oif in routes if network.prefixlen == 0 and oif in links), None)
        self._mtu = uplink.mtu if uplink else DEFAULT_MTU
        if self._settings.pod_cidr:
            return subnet.parse(self._settings.pod_cidr)
        kept_in = self._settings.paths.lib / "network" / "subnet"
        kept = subnet.load(kept_in)
        if kept is not None and not any(kept.overlaps(network) for network in used if network.prefixlen):
            return kept
        chosen = subnet.choose(used)
        subnet.save(kept_in, chosen)
        return chosen

    def _ensure_bridge(self, host: netlink.Route, network: ipaddress.IPv4Network) -> netlink.Link:
        gateway = network.network_address + 1
        link = host.link(self._bridge)
        if link is None:
            host.add_bridge(self._bridge, mac=_mac(gateway))
            link = host.link(self._bridge)
        if link is None or link.kind != "bridge":
            raise OSError(errno.EEXIST, "there is an interface of that name that is no bridge: choose another", self._bridge)
        host.set_up(link.index)
        host.add_address(link.index, ipaddress.IPv4Interface((gateway, network.prefixlen)))
        self._prefixlen = network.prefixlen
        for port in self._ports(host):
            if port.master != link.index:  # the bridge was taken away under its Pods, and this is a new one
                host.enslave(port.index, link.index)
        return link

    def _plug(self, sandbox_id: str, pid: int, address: ipaddress.IPv4Address) -> None:
        book, name = self._book(), self.host_interface(sandbox_id)
        with netlink.Route() as host, netlink.Route(netns.inside(pid, netlink.open_socket)) as pod:
            self._restore_bridge(host)
            pair = functools.partial(
                netlink.Route.add_veth, master=self._bridge_index, mtu=self._mtu, peer=INTERFACE, peer_pid=pid, peer_mac=_mac(address)
            )
            try:
                pair(host, name)
            except FileExistsError:  # a start that was killed half-way; begin again
                _unplug(name)
                pair(host, name)
            pod.set_up(LOOPBACK_INDEX)
            interface = pod.link(INTERFACE)
            if interface is None:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), INTERFACE)
            pod.set_up(interface.index)
            pod.add_address(interface.index, ipaddress.IPv4Interface((address, self._prefixlen)))
            pod.add_default_route(book.gateway)

    def _restore_bridge(self, host: netlink.Route) -> None:
        """Somebody may have taken the bridge away since: one question to the kernel, asked whenever a Pod needs it."""
        with self._restoring:
            link = host.link(self._bridge)
            if link is None or link.index != self._bridge_index:
                log.warning("the bridge %s was taken away; making it again", self._bridge)
                self._bridge_index = self._ensure_bridge(host, self._book().network).index

    def _our_interfaces(self) -> list[str]:
        with netlink.Route() as host:
            return [link.name for link in self._ports(host)]

    def _ports(self, host: netlink.Route) -> list[netlink.Link]:
        return [link for link in host.links() if link.kind == "veth" and link.name.startswith(self._prefix)]

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        """Run to the end even if the caller is cancelled: netlink is quick, and half a veth pair is worse than waiting for it."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, function)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise


def _mac(address: ipaddress.IPv4Address) -> bytes:
    return b"\x0a\x58" + address.packed


def _unplug(name: str) -> None:
    with netlink.Route() as host:
        try:
            host.delete_link(name)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


@contextlib.contextmanager
def _choice_lock() -> Iterator[None]:
    descriptor = os.open(CHOICE_LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

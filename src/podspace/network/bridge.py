"""The network of Pods without CNI: one bridge, one veth pair per sandbox, addresses from a /24 and, where the machine has IPv6, a /64.

Called by ``choice`` with what a sandbox asks for; knows neither Pods nor containers. Attaching is a few netlink messages (about 1 ms)
and no subprocess. What exists is in the kernel and in ``run/network``; a server that was killed finds it there again with ``recover``.

A sandbox's MAC address is made from its IPv4 address, so that a neighbour's ARP entry stays right when an address is used again.
Nobody on the bridge is believed to be a router: a Pod could otherwise lead the host's IPv6 traffic, or another Pod's, to itself
(CVE-2020-10749).
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
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from podspace import errors
from podspace import settings as settings_module
from podspace.linux import netlink, netns, qdisc, rtnetlink
from podspace.network import addresses, hostports, masquerade, subnet
from podspace.network.attachment import Attachment, Bandwidth
from podspace.network.subnet import Network

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
        self._networks: tuple[Network, ...] = ()
        self._host_ports = hostports.HostPorts(self._table, self._bridge)
        self._mtu = DEFAULT_MTU

    async def setup(self) -> None:
        """Make the bridge, give it the gateway's addresses, and let Pods out. Idempotent.

        Raises: errors.BadRequest (--pod-cidr), errors.Unavailable (no free subnet), errors.Unsupported (not root, no bridges).
        """
        self._networks = await self._in_thread(self._setup_bridge)
        self._addresses = addresses.Addresses(self._folder / "addresses", self._home)
        masquerade.enable_forwarding(ipv6=len(self._networks) > 1)
        self._host_ports.serve(await masquerade.install(self._table, self._bridge, self._networks) or self._networks[:1])

    async def attach(self, wanted: Attachment) -> tuple[str, ...]:
        """Configure lo and eth0 in the netns of ``wanted.pid``, lead its ports there; return its addresses. Calling it again repairs.

        Raises: errors.Unavailable (subnet full, no such process, port taken), errors.Unsupported (no nft for its ports),
        errors.BadRequest (bandwidth), errors.ToolError. Cancelled: nothing is left behind half done; ``detach`` undoes.
        """
        book = self._book()
        known = book.get(wanted.sandbox_id) is not None
        bandwidth = wanted.bandwidth()
        address = book.take(wanted.sandbox_id)
        try:
            given = await self._in_thread(functools.partial(self._plug, wanted, address, bandwidth))
            if wanted.host_ports:
                await self._host_ports.publish(wanted.sandbox_id, given, wanted.host_ports)
        except OSError as error:
            if not known:
                await self.detach(wanted.sandbox_id)
            raise errors.Unavailable(f"network of sandbox {wanted.sandbox_id}: {error.filename}: {error.strerror}") from error
        return given

    async def detach(self, sandbox_id: str) -> None:
        """Take the veth pair away and free the address. Idempotent; the sandbox's processes may be gone long since."""
        await self._host_ports.withdraw(sandbox_id)
        await self._in_thread(functools.partial(_unplug, *self._links_of(sandbox_id)))
        self._book().free(sandbox_id)

    def is_there(self) -> bool:
        """Whether a former server left anything of it."""
        with contextlib.suppress(FileNotFoundError):
            return any((self._folder / "addresses").iterdir())
        return False

    def owns(self, sandbox_id: str) -> bool:
        """Whether the sandbox has an address here."""
        return self._addresses is not None and self._addresses.get(sandbox_id) is not None

    async def recover(self, live: Sequence[Attachment]) -> None:
        """After ``setup``: free what belongs to no sandbox of ``live``, plug in again what lost its veth, lead its ports there again."""
        wanted = {self.host_interface(item.sandbox_id): item for item in live if self.owns(item.sandbox_id)}
        kept = {name for item in wanted.values() for name in self._links_of(item.sandbox_id)}
        present = await self._in_thread(self._our_interfaces)
        for name in present:
            if name not in kept:
                await self._in_thread(functools.partial(_unplug, name))
        book = self._book()
        book.keep_only(item.sandbox_id for item in wanted.values())
        for name, item in wanted.items():
            if name not in present:
                await self._plug_again(item, book.take(item.sandbox_id))
        ports = {
            item.sandbox_id: (self._all_of(book.take(item.sandbox_id)), item.host_ports) for item in wanted.values() if item.host_ports
        }
        try:
            await self._host_ports.restore(ports)
        except errors.PodspaceError as error:
            log.warning("ports of the host do not lead to their Pods: %s", error)

    async def _plug_again(self, item: Attachment, address: ipaddress.IPv4Address) -> None:
        """What one sandbox cannot have back must not keep the others from theirs."""
        try:
            await self._in_thread(functools.partial(self._plug, item, address, item.bandwidth()))
        except (errors.PodspaceError, OSError) as error:
            log.warning("network of sandbox %s: %s", item.sandbox_id, error)

    @property
    def _home(self) -> ipaddress.IPv4Network:
        first = self._networks[0]
        assert isinstance(first, ipaddress.IPv4Network)
        return first

    def _twins(self, address: ipaddress.IPv4Address) -> Iterator[tuple[subnet.Address, Network]]:
        """The address in each of the networks."""
        return ((subnet.twin(address, self._home, network), network) for network in self._networks)

    def _all_of(self, address: ipaddress.IPv4Address) -> tuple[str, ...]:
        return tuple(str(twin) for twin, _ in self._twins(address))

    async def teardown(self) -> bool:
        """Remove bridge and NAT if no sandbox has an address any more; tell whether it did."""
        if self._addresses is not None and self._addresses.owners():
            return False
        if not self._settings.bridge:  # a bridge the user named is the user's
            await self._in_thread(functools.partial(_unplug, self._bridge))
        for family in ("ip", "ip6")[: len(self._networks)]:
            await masquerade.remove(self._table, family)
        await self._host_ports.remove()
        self._bridge_index = 0
        return True

    def close(self) -> None:
        """End the threads; the network stays."""
        self._threads.shutdown(wait=True)

    def host_interface(self, sandbox_id: str) -> str:
        """Name of the veth's end on the host: at most 15 characters, told from another server's by its prefix."""
        return self._prefix + hashlib.sha256(sandbox_id.encode()).hexdigest()[:8]

    def _links_of(self, sandbox_id: str) -> tuple[str, str]:
        """The veth's end, and the block its Pod's traffic to the outside is bounded by, if it is."""
        name = self.host_interface(sandbox_id)
        return name, f"{name[:-1]}x"  # no hexadecimal digit: nobody else's

    def _book(self) -> addresses.Addresses:
        if self._addresses is None:
            raise errors.FailedPrecondition("the network is not set up yet")
        return self._addresses

    def _setup_bridge(self) -> tuple[Network, ...]:
        try:
            with _choice_lock(), rtnetlink.Route() as host:
                networks = self._choose(host)
                try:
                    link = self._ensure_bridge(host, networks)
                except PermissionError as error:
                    log.warning("Pods have no IPv6: %s: %s", error.filename, error.strerror)
                    networks = networks[:1]
                    link = self._ensure_bridge(host, networks)
        except OSError as error:
            raise errors.Unsupported(f"cannot make the network of Pods: {error.filename}: {error.strerror}") from error
        self._bridge_index = link.index
        return networks

    def _choose(self, host: rtnetlink.Route) -> tuple[Network, ...]:
        """The subnets: the flag's, else those of an earlier start unless the machine has them elsewhere by now, else free ones."""
        links = {link.index: link for link in host.links()}
        routes = host.routes()
        elsewhere = [address for index, address in host.addresses() if index in links and links[index].name != self._bridge]
        used = [network for network, oif in routes if oif not in links or links[oif].name != self._bridge]
        used += [address.network for address in elsewhere]
        uplink = next((links[oif] for network, oif in routes if network.prefixlen == 0 and oif in links), None)
        self._mtu = uplink.mtu if uplink else DEFAULT_MTU
        if self._settings.pod_cidr:
            return subnet.parse(self._settings.pod_cidr)
        kept_in = self._settings.paths.lib / "network" / "subnet"
        kept = [
            network
            for network in subnet.load(kept_in) or ()
            if not any(subnet.overlap(network, other) for other in used if other.prefixlen)
        ]
        chosen: list[Network] = [next((n for n in kept if n.version == 4), None) or subnet.choose(used)]
        if _has_ipv6(elsewhere):
            chosen.append(next((n for n in kept if n.version == 6), None) or subnet.choose_unique_local())
        if chosen != kept:
            subnet.save(kept_in, chosen)
        return tuple(chosen)

    def _ensure_bridge(self, host: rtnetlink.Route, networks: Sequence[Network]) -> rtnetlink.Link:
        home = networks[0]
        link = host.link(self._bridge)
        if link is None:
            host.add_bridge(self._bridge, mac=_mac(home.network_address + 1))
            link = host.link(self._bridge)
        if link is None or link.kind != "bridge":
            raise OSError(errno.EEXIST, "there is an interface of that name that is no bridge: choose another", self._bridge)
        _believe_no_router(self._bridge)
        if len(networks) > 1:
            _tell(self._bridge, "disable_ipv6", "0")  # new interfaces may have it turned off
        host.set_up(link.index)
        for network in networks:
            host.add_address(link.index, ipaddress.ip_interface((network.network_address + 1, network.prefixlen)))
        for port in self._ports(host):
            if port.master != link.index:  # the bridge was taken away under its Pods, and this is a new one
                host.enslave(port.index, link.index)
        return link

    def _plug(self, wanted: Attachment, address: ipaddress.IPv4Address, bandwidth: Bandwidth) -> tuple[str, ...]:
        name = self.host_interface(wanted.sandbox_id)
        with rtnetlink.Route() as host, rtnetlink.Route(netns.inside(wanted.pid, _enter)) as pod:
            self._restore_bridge(host)
            pair = functools.partial(
                rtnetlink.Route.add_veth,
                master=self._bridge_index,
                mtu=self._mtu,
                peer=INTERFACE,
                peer_pid=wanted.pid,
                peer_mac=_mac(address),
            )
            try:
                pair(host, name)
            except FileExistsError:  # a start that was killed half-way; begin again
                _unplug(*self._links_of(wanted.sandbox_id))
                pair(host, name)
            if wanted.host_ports or bandwidth:
                self._extras(host, wanted, bandwidth)
            return tuple(self._configure(pod, address))

    def _configure(self, pod: rtnetlink.Route, address: ipaddress.IPv4Address) -> Iterator[str]:
        """The sandbox's own side; the addresses it has then."""
        pod.set_up(LOOPBACK_INDEX)
        interface = pod.link(INTERFACE)
        if interface is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), INTERFACE)
        pod.set_up(interface.index)
        for twin, network in self._twins(address):
            try:
                pod.add_address(interface.index, ipaddress.ip_interface((twin, network.prefixlen)))
            except PermissionError:
                if twin.version == 4:
                    raise
                continue  # a sysctl of the Pod's turns IPv6 off
            pod.add_default_route(network.network_address + 1)
            yield str(twin)

    def _extras(self, host: rtnetlink.Route, wanted: Attachment, bandwidth: Bandwidth) -> None:
        """What few sandboxes ask for: that they reach themselves by a port of the host, and that they are slow."""
        name, block = self._links_of(wanted.sandbox_id)
        port = _found(host, name)
        if wanted.host_ports:
            host.reflect(port)
        if bandwidth.ingress_bits:
            qdisc.bound(host, port, bandwidth.ingress_bits)
        if bandwidth.egress_bits:
            if host.link(block) is None:
                host.add_ifb(block)
            qdisc.bound(host, _found(host, block), bandwidth.egress_bits)
            qdisc.redirect(host, port, _found(host, block))

    def _restore_bridge(self, host: rtnetlink.Route) -> None:
        """Somebody may have taken the bridge away since: one question to the kernel, asked whenever a Pod needs it."""
        with self._restoring:
            link = host.link(self._bridge)
            if link is None or link.index != self._bridge_index:
                log.warning("the bridge %s was taken away; making it again", self._bridge)
                self._bridge_index = self._ensure_bridge(host, self._networks).index
                self._host_ports.open_loopback()

    def _our_interfaces(self) -> list[str]:
        with rtnetlink.Route() as host:
            return [link.name for link in host.links() if link.kind in ("veth", "ifb") and link.name.startswith(self._prefix)]

    def _ports(self, host: rtnetlink.Route) -> list[rtnetlink.Link]:
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


def _mac(address: subnet.Address) -> bytes:
    return b"\x0a\x58" + address.packed


def _has_ipv6(addresses: Sequence[rtnetlink.Interface]) -> bool:
    """Whether the machine uses IPv6: some address that is more than the link's own. Where the kernel has it turned off there is none."""
    return any(address.version == 6 and not (address.is_link_local or address.is_loopback) for address in addresses)


def _enter() -> socket.socket:
    """In a sandbox's netns, before its interface is there: what comes next is made under these rules."""
    _believe_no_router("default")
    return netlink.open_socket()


def _believe_no_router(interface: str) -> None:
    """No address and no route from a router advertisement, in the calling thread's netns."""
    _tell(interface, "accept_ra", "0")


def _tell(interface: str, setting: str, value: str) -> None:
    """Without IPv6 there is nothing to be told; a server in a container may not turn such knobs."""
    try:
        masquerade.CONF6.joinpath(interface, setting).write_text(value)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EROFS, errno.EACCES):
            raise


def _found(host: rtnetlink.Route, name: str) -> int:
    link = host.link(name)
    if link is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    return link.index


def _unplug(*names: str) -> None:
    with rtnetlink.Route() as host:
        for name in names:
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

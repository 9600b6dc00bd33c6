"""What of a Pod's network can be seen from outside of it, and from its neighbours."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from podspace.linux import netns, procfs
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server, free_port, running

pytestmark = pytest.mark.root

LISTENS = {"tcpSocket": {"port": 80}, "periodSeconds": 1}


def echo(word: str, **fields: Any) -> pods.Manifest:
    """A container that says it to everyone who connects; ready when it listens."""
    return box(f"exec nc -ll -p 80 -e echo {word}", readinessProbe=LISTENS, **fields)


def ports(*wanted: tuple[int, str, str]) -> list[pods.Manifest]:
    return [{"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": ip} for port, protocol, ip in wanted]


def heard(address: str, port: int) -> str:
    """What the echo says; "" when nobody is there."""
    try:
        with socket.create_connection((address, port), timeout=10) as connection:
            return connection.recv(100).decode().strip()
    except OSError:
        return ""


def host_ips(node: Server) -> list[str]:
    return node.kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}").split()


def test_a_port_of_the_host_leads_to_the_pod(node: Server) -> None:
    everywhere, here = free_port(), free_port()
    pods.create(
        node,
        pod("ported", echo("hello", ports=ports((everywhere, "TCP", ""), (here, "TCP", "127.0.0.1")))),
        pod("neighbour", box("exec sleep 7200")),
    )
    node.wait_ready("ported")
    node.wait_ready("neighbour")
    for address in ("127.0.0.1", *host_ips(node)):
        assert heard(address, everywhere) == "hello", address
        assert heard(address, here) == ("hello" if address == "127.0.0.1" else ""), address
    for name in ("neighbour", "ported"):
        for address in host_ips(node):
            assert node.exec(name, "c", "sh", "-c", f"nc -w 5 {address} {everywhere} < /dev/null") == "hello\n", (name, address)
    node.kill()
    node.start()
    assert heard("127.0.0.1", everywhere) == "hello"
    node.kubectl("delete", "pod", "ported")
    assert heard("127.0.0.1", everywhere) == ""


def test_a_port_that_is_taken(node: Server) -> None:
    port = free_port()
    wanted = ports((port, "TCP", ""))
    node.apply(pod("first", box("exec sleep 7201", ports=wanted)))
    node.wait_ready("first")
    name = node.pod("first")["spec"]["nodeName"]
    pods.create(
        node,
        pod("second", box("exec sleep 7202", ports=wanted)),
        pod("by-hand", box("exec sleep 7203", ports=wanted), nodeName=name),
        pod("other-protocol", box("exec sleep 7204", ports=ports((port, "UDP", "")))),
    )
    node.wait_ready("other-protocol")
    node.wait_for("by-hand", "{.status.phase}=Failed")
    refused = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    status = node.pod("by-hand")["status"]
    assert (status["reason"], status["message"]) == ("NodePorts", f"Pod was rejected: {refused}")
    assert ("NodePorts", refused) in pods.told(node, "by-hand")
    waits = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    assert any(reason == "FailedScheduling" and message.startswith(waits) for reason, message in pods.told(node, "second"))
    node.kubectl("delete", "pod", "first")
    node.wait_ready("second")


def test_a_machine_with_ipv6_gives_its_pods_both_families(node: Server) -> None:
    """Status, variables and the machine agree; where the machine has IPv4 alone, so have its Pods."""
    node.apply(
        pod(
            "both",
            box(
                'echo "$IPS $HOSTS"; hostname -i',
                env=[
                    {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                    for name, path in (("IPS", "status.podIPs"), ("HOSTS", "status.hostIPs"))
                ],
            ),
        )
    )
    lines = pods.output(node, "both")
    status = node.pod("both")["status"]
    versions = [[ipaddress.ip_address(entry["ip"]).version for entry in status[key]] for key in ("podIPs", "hostIPs")]
    assert versions in ([[4], [4]], [[4, 6], [4, 6]])
    shown = [",".join(entry["ip"] for entry in status[key]) for key in ("podIPs", "hostIPs")]
    assert lines[0] == " ".join(shown)
    assert ",".join(host_ips(node)) == shown[1]


def test_an_overridden_host_name(node: Server) -> None:
    names = pod(
        "names", box("hostname; hostname -f; cat /etc/hosts"), hostname="mine", subdomain="sub", hostnameOverride="over.example.host"
    )
    node.apply(names | {"metadata": {"name": "overridden"}})
    lines = pods.output(node, "overridden")
    assert lines[:2] == ["over.example.host"] * 2
    assert lines[-1].split("\t")[1:] == ["over.example.host"]


def test_the_name_servers_of_a_cluster(root: Path, registries_conf: Path) -> None:
    flags = ("--cluster-dns", "192.0.2.53,192.0.2.54", "--cluster-domain", "c.example", "--resolv-conf", str(root / "resolv.conf"))
    (root / "resolv.conf").write_text("search of.host\nnameserver 192.0.2.1\n")
    show, more = "cat /etc/resolv.conf; hostname", ["192.0.2.55", "192.0.2.56"]
    with running(root, registries_conf=registries_conf, flags=flags) as server:
        pods.create(
            server,
            pod("first", box(show), subdomain="sub", setHostnameAsFQDN=True),
            pod("default", box(show), dnsPolicy="Default"),
            pod(
                "host",
                box(show),
                hostNetwork=True,
                dnsPolicy="ClusterFirstWithHostNet",
                dnsConfig={"nameservers": more},
            ),
        )
        searches = "search default.svc.c.example svc.c.example c.example of.host"
        cluster = [searches, "nameserver 192.0.2.53", "nameserver 192.0.2.54"]
        assert pods.output(server, "first") == [*cluster, "options ndots:5", "first.sub.default.svc.c.example"]
        assert pods.output(server, "default") == ["search of.host", "nameserver 192.0.2.1", "default"]
        assert pods.output(server, "host")[:-1] == [*cluster, "nameserver 192.0.2.55", "options ndots:5"]
        words = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        assert ("DNSConfigForming", f"{words}192.0.2.53 192.0.2.54 192.0.2.55") in pods.told(server, "host")


def test_one_port_for_three_pods_at_different_addresses_and_protocols(node: Server) -> None:
    """As Kubernetes' own conformance test has it: 127.0.0.1, the node's address, and the latter with another protocol."""
    port, [host, *_] = free_port(), host_ips(node)
    pods.create(
        node,
        pod("port-a", echo("a", ports=ports((port, "TCP", "127.0.0.1")))),
        pod("port-b", echo("b", ports=ports((port, "TCP", host)))),
        pod("port-c", box(f"exec sleep 100{port}", ports=ports((port, "UDP", host)))),
    )
    for name in ("port-a", "port-b", "port-c"):
        node.wait_ready(name)
    assert heard("127.0.0.1", port) == "a"
    assert heard(host, port) == "b"
    with (
        netns.open_socket(process_of("sleep", f"100{port}"), kind=socket.SOCK_DGRAM) as inside,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        inside.bind(("0.0.0.0", 80))
        inside.settimeout(10)
        client.sendto(b"c", (host, port))
        assert inside.recv(100) == b"c"


def process_of(*words: str) -> int:
    """The host's pid of the one with this command line."""
    until = time.monotonic() + 20  # a shell may have to execute it yet
    while not (found := [pid for pid in procfs.pids() if procfs.cmdline(pid) == list(words)]):
        assert time.monotonic() < until, words
        time.sleep(0.05)
    [pid] = found
    return pid


def test_a_sandbox_that_was_renewed_has_its_port_again(node: Server) -> None:
    port = free_port()
    node.apply(pod("again", echo("hello", ports=ports((port, "TCP", ""))), restartPolicy="Always", shareProcessNamespace=True))
    node.wait_ready("again")
    assert heard("127.0.0.1", port) == "hello"
    node.exec("again", "c", "kill", "-TERM", "1", check=False)  # /pause
    pods.wait_told(node, "again", "SandboxChanged")
    until = time.monotonic() + 20
    while heard("127.0.0.1", port) != "hello":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_port_forward_the_python_clients_way(node: Server) -> None:
    """A plain WebSocket whose request names the ports; two channels for each, which begin with its number."""
    node.apply(pod("forwarded", echo("hello")))
    node.wait_ready("forwarded")
    path = "/api/v1/namespaces/default/pods/forwarded/portforward?ports=80,9"

    async def forward() -> dict[int, bytes]:
        said: dict[int, bytes] = {}
        connector = aiohttp.UnixConnector(str(node.paths.api_socket))
        offers = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
        async with aiohttp.ClientSession("http://localhost", connector=connector) as api, api.ws_connect(path, protocols=offers) as socket:
            async for message in socket:
                said[message.data[0]] = said.get(message.data[0], b"") + message.data[1:]
        return said

    said = asyncio.run(asyncio.wait_for(forward(), 20))
    assert said[0] == b"\x50\0hello\n"
    assert (said[1], said[2]) == (b"\x50\0", b"\x09\0")
    assert said[3].startswith(b"\x09\0error forwarding port 9 to pod forwarded_default, uid ")


def test_a_pod_whose_network_takes_long_can_be_deleted_meanwhile(root: Path, registries_conf: Path) -> None:
    for folder in ("bin", "net.d"):
        (root / folder).mkdir()
    slow = root / "bin/slow"
    slow.write_text('#!/bin/sh\necho "$CNI_COMMAND $$" >> "$CNI_PATH/calls"\n[ "$CNI_COMMAND" != ADD ] || exec sleep 600\n')
    slow.chmod(0o755)
    (root / "net.d/10-slow.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "slow", "plugins": [{"type": "slow"}]}))
    flags = ("--cni-conf-dir", str(root / "net.d"), "--cni-bin-dir", str(root / "bin"))
    with running(root, registries_conf=registries_conf, flags=flags) as server:
        server.apply(pod("slow", box("exec sleep 7206")))
        calls = root / "bin/calls"
        until = time.monotonic() + 20
        while not calls.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        server.kubectl("delete", "pod", "slow", "--timeout=20s", timeout=30)
        add, delete = (line.split() for line in calls.read_text().splitlines())
        assert (add[0], delete[0]) == ("ADD", "DEL")
        assert not Path(f"/proc/{add[1]}").exists()

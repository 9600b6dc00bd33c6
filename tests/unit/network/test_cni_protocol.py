"""What plugins are told, and how their answers are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from podspace import errors
from podspace.network.attachment import Attachment, HostPort
from podspace.network.cni import capabilities, config, plugin, results

WANTED = Attachment(
    sandbox_id="abc",
    pid=1,
    namespace="default",
    name="web",
    uid="u",
    host_ports=(
        HostPort(protocol="tcp", host_port=8080, container_port=80),
        HostPort(protocol="udp", host_port=53, container_port=53, host_ip="192.0.2.1"),
    ),
    annotations={"kubernetes.io/ingress-bandwidth": "1M"},
    dns_servers=("192.0.2.53",),
    dns_options=("ndots:5",),
    cgroup="/podspace/podu",
)
BRIDGE = {"type": "bridge", "cniVersions": ["1.0.0"], "capabilities": {"portMappings": True, "dns": True, "ips": True, "bandwidth": False}}


def test_a_plugin_is_told_what_it_is_capable_of_and_nothing_else() -> None:
    told = capabilities.for_plugin(BRIDGE, capabilities.of(WANTED))
    assert told == {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
        ],
        "dns": {"servers": ["192.0.2.53"], "options": ["ndots:5"]},
    }
    assert capabilities.for_plugin({"type": "x"}, capabilities.of(WANTED)) == {}


def test_every_capability_has_its_shape() -> None:
    every = capabilities.of(WANTED, ["10.1.0.0/24", "fd00::/64"])
    assert every["bandwidth"]["ingressRate"] == 1_000_000
    assert 0 < every["bandwidth"]["ingressBurst"] < 2**32
    assert "egressRate" not in every["bandwidth"]
    assert every["ipRanges"] == [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]
    assert every["cgroupPath"] == "/podspace/podu"
    assert every["io.kubernetes.cri.pod-annotations"] == {"kubernetes.io/ingress-bandwidth": "1M"}


@pytest.mark.parametrize(
    ("bandwidth", "said"),
    [
        ("999", "resource is unreasonably small (< 1kbit)"),
        ("2P", "resource is unreasonably large (> 1Pbit)"),
        ("fast", "quantities must match the regular expression"),
    ],
)
def test_a_bandwidth_that_cannot_be_is_refused_in_a_kubelets_words(bandwidth: str, said: str) -> None:
    wanted = Attachment(sandbox_id="abc", pid=1, annotations={"kubernetes.io/egress-bandwidth": bandwidth})
    with pytest.raises(errors.BadRequest) as refused:
        capabilities.of(wanted)
    assert said in str(refused.value)


def test_what_a_pod_asks_for_and_no_plugin_does_is_noticed() -> None:
    network = config.NetworkConfig(name="n", version="1.0.0", plugins=({"type": "x"}, BRIDGE))
    assert capabilities.unheard(network, capabilities.of(WANTED)) == ["bandwidth"]
    deaf = config.NetworkConfig(name="n", version="1.0.0", plugins=({"type": "x"},))
    assert capabilities.unheard(deaf, capabilities.of(WANTED)) == ["portMappings", "bandwidth"]
    assert capabilities.unheard(deaf, capabilities.of(Attachment(sandbox_id="abc", pid=1, dns_servers=("192.0.2.1",)))) == []


def test_the_arguments_say_whose_sandbox_it_is() -> None:
    arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u"
    assert capabilities.arguments(WANTED) == arguments


def test_a_request_is_the_configuration_completed() -> None:
    told = plugin.request(BRIDGE, name="net", version="1.0.0", runtime_config={"dns": {}}, previous={"ips": []})
    assert told == {"type": "bridge", "name": "net", "cniVersion": "1.0.0", "runtimeConfig": {"dns": {}}, "prevResult": {"ips": []}}


def test_the_environment_says_what_is_wanted_and_of_whom() -> None:
    call = plugin.Call(command="DEL", container_id="abc", interface="eth0", arguments="A=1")
    assert call.environment([Path("/a"), Path("/b")]) == {
        "CNI_COMMAND": "DEL", "CNI_PATH": "/a:/b", "CNI_CONTAINERID": "abc", "CNI_NETNS": "", "CNI_IFNAME": "eth0", "CNI_ARGS": "A=1",
    }  # fmt: skip
    assert plugin.Call(command="STATUS").environment([Path("/a")]) == {"CNI_COMMAND": "STATUS", "CNI_PATH": "/a"}


def test_the_addresses_are_those_of_the_sandboxes_interface_ipv4_first() -> None:
    result = {
        "interfaces": [{"name": "br0"}, {"name": "eth0"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
        "ips": [
            {"address": "fd00::5/64", "interface": 2},
            {"address": "10.0.0.5/24", "interface": 2},
            {"address": "10.0.0.1/24", "interface": 0},
            {"address": "10.9.9.9/24", "interface": 1},
        ],
    }
    assert results.addresses(result, "eth0") == ("10.0.0.5", "fd00::5")
    assert results.addresses({"ips": [{"address": "10.0.0.5/24"}]}, "eth0") == ("10.0.0.5",)
    assert results.addresses({}, "eth0") == ()

"""CNI under both front doors of one server: nothing has a network until somebody configures one, then everything has that.

The plugins are the real ones, without those that write firewall rules: these would be the whole machine's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri, pods

pytestmark = pytest.mark.root

BRIDGE = "cni-podspace0"


def conflist(root: Path) -> str:
    ipam = {"type": "host-local", "dataDir": str(root / "ipam"), "ranges": [[{"subnet": "10.77.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
    return json.dumps({"cniVersion": "1.0.0", "name": "podspace-test", "plugins": [bridge, {"type": "tuning"}]})


@pytest.fixture(scope="module")
def machine(module_root: Path, registries_conf: Path) -> Iterator[cri.Machine]:
    network = ["--network", "cni", "--cni-conf-dir", str(module_root / "net.d")]
    try:
        with cri.running(module_root, registries_conf, verb="serve", flags=network) as running:
            yield running
        assert not any((module_root / "ipam").glob("*/10.*")), "addresses were not given back"
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)


def network_condition(client: cri.Client) -> pb.RuntimeCondition:
    conditions = client.runtime.Status(pb.StatusRequest(), timeout=10).status.conditions
    found: pb.RuntimeCondition = next(condition for condition in conditions if condition.type == "NetworkReady")
    return found


def test_networks_come_and_go_with_their_configuration(machine: cri.Machine) -> None:
    client, server = machine.client, machine.server
    image = client.pull("busybox:1.28")
    missing = f"cni plugin not initialized: no network config found in {server.root}/net.d"

    condition = network_condition(client)
    assert (condition.status, condition.reason) == (False, "NetworkPluginNotReady")
    assert condition.message == f"Network plugin returns error: {missing}"
    with pytest.raises(grpc.RpcError, match="cni plugin not initialized"):
        client.run_sandbox(cri.sandbox_config("early", machine.logs))
    assert client.sandboxes() == []
    of_the_host = cri.sandbox_config("of-the-host", machine.logs, options={"network": pb.NODE})
    client.remove_sandbox(client.run_sandbox(of_the_host))

    server.apply(pods.pod("ours", pods.box("ip -4 -o address show eth0; exec sleep 7300")))
    server.wait_for("ours", "{.status.phase}=Pending")
    pods.wait_told(server, "ours", "NetworkNotReady")
    said = f"NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: {missing}"
    assert ("NetworkNotReady", f"network is not ready: container runtime network not ready: {said}") in pods.told(server, "ours")
    server.kubectl("wait", "--for=condition=Ready=false", "nodes", "--all", "--timeout=20s")

    (server.root / "net.d").mkdir()
    (server.root / "net.d" / "10-test.conflist").write_text(conflist(server.root))
    server.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=20s")
    assert network_condition(client).status
    server.wait_ready("ours", seconds=8)  # it was woken: by itself it tries again after ten
    assert server.pod("ours")["status"]["podIP"].startswith("10.77.1.")

    config = cri.sandbox_config("kubelets", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.run(sandbox, config, cri.container_config("one", image, config, command=["sleep", "7301"]))
    ip = client.sandbox_status(sandbox).network.ip
    assert ip.startswith("10.77.1.")
    assert client.output(container, "hostname", "-i").split() == [ip]
    assert client.output(container, "ping", "-c", "1", "-W", "5", server.pod("ours")["status"]["podIP"])

    machine.restart(kill=True)
    (server.root / "net.d" / "10-test.conflist").unlink()
    client = machine.client
    assert not network_condition(client).status
    assert client.sandbox_status(sandbox).network.ip == ip
    client.remove_sandbox(sandbox)  # by what was configured when it was made
    assert [path.name for path in (server.root / "ipam" / "podspace-test").glob("10.*")] == [server.pod("ours")["status"]["podIP"]]

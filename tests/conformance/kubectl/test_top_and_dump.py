"""What is used, and everything at once: top, cluster-info."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.kubectl import pods
from tests.conformance.kubectl.conftest import Kubectl
from tests.support.pods import node_name
from tests.support.server import Server

pytestmark = pytest.mark.root
BUSY = "while :; do :; done"
HOLDS = "head -c 33554432 /dev/zero > /dev/shm/held; touch /held; sleep 3600"


@pytest.fixture(scope="module")
def busy(podspace: Server) -> str:
    """One container spends CPU, the other holds 32 MiB."""
    spin, hold = pods.container("spin", "sh", "-c", BUSY), pods.container("hold", "sh", "-c", HOLDS)
    hold["readinessProbe"] = {"exec": {"command": ["test", "-e", "/held"]}, "periodSeconds": 1}
    spin["resources"] = {"limits": {"cpu": "250m"}}
    podspace.apply(pods.pod("busy", spin, hold))
    podspace.wait_ready("busy")
    return "busy"


def test_top_tells_containers_apart(kubectl: Kubectl, busy: str) -> None:
    rows = {line.split()[1]: line.split() for line in kubectl("top", "pod", busy, "--containers", "--no-headers").splitlines()}
    spin, hold = (int(rows[name][2].removesuffix("m")) for name in ("spin", "hold"))
    assert hold < spin <= 400
    assert spin >= 10  # its limit is 250, but others may want the machine too
    assert 32 <= int(rows["hold"][3].removesuffix("Mi")) <= 64


def test_top_of_pods_by_selector_in_every_namespace(kubectl: Kubectl, busy: str) -> None:
    namespace, name, cores, _ = kubectl("top", "pod", "-A", "-l", "app=busy", "--no-headers").split()
    assert (namespace, name) == ("default", busy)
    assert int(cores.removesuffix("m")) >= 10
    assert 'podmetrics.metrics.k8s.io "default/nope" not found' in kubectl("top", "pod", "nope", status=1)


def test_top_of_the_node_is_the_whole_machine(kubectl: Kubectl, podspace: Server, busy: str) -> None:
    name, cores, percent, memory, _ = kubectl("top", "node", "--no-headers").split()
    assert name == node_name(podspace)
    assert int(cores.removesuffix("m")) >= 10
    assert 0 < int(percent.removesuffix("%")) <= 110  # what the kernel counts comes in ticks
    assert int(memory.removesuffix("Mi")) > 32


def test_the_metrics_themselves(podspace: Server, busy: str) -> None:
    told = json.loads(podspace.kubectl("get", "podmetrics", busy, "-o", "json"))
    assert told["window"].endswith("s")
    assert [one["name"] for one in told["containers"]] == ["spin", "hold"]
    assert podspace.kubectl("get", "podmetrics", busy).split()[:4] == ["NAME", "CPU", "MEMORY", "WINDOW"]


def test_cluster_info_and_its_dump(kubectl: Kubectl, podspace: Server, busy: str, tmp_path: Path) -> None:
    assert f"https://127.0.0.1:{podspace.port}" in kubectl("cluster-info")
    kubectl("cluster-info", "dump", f"--output-directory={tmp_path}", "--all-namespaces")
    dumped = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"nodes.json", "default/pods.json", "default/events.json", "default/busy/logs.txt"} <= dumped
    assert [item["metadata"]["name"] for item in json.loads((tmp_path / "default/pods.json").read_text())["items"]] == [busy]

"""A real kubelet with a real API server on this tree's CRI. Runs where PODSPACE_KUBERNETES names a folder with their programs.

They are in no package; ``tools/cluster.py`` says what is needed, docs/cri.md what passed when.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podspace.linux import cgroups, mounts
from tools import cluster
from tools.cluster import Cluster

VARIABLE = "PODSPACE_KUBERNETES"
IMAGE = "busybox:1.28"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"needs etcd, kube-apiserver and kubelet: {VARIABLE}=FOLDER"),
]


@pytest.fixture(scope="module")
def one(module_root: Path, registries_conf: Path) -> Iterator[Cluster]:
    folder = module_root / "cluster"
    driver = "systemd" if Path("/run/systemd/system").exists() else "cgroupfs"
    with cluster.running(folder, Path(os.environ[VARIABLE]), registries_conf, images=[IMAGE], driver=driver) as running:
        yield running
        running.kubectl("delete", "pods", "--all", "--grace-period=0", "--force")
    assert mounts.below(folder) == []


def create(one: Cluster, name: str, *, shared: bool, script: str = "exec sleep 7700", **fields: Any) -> None:
    containers = [{"name": c, "image": IMAGE, "command": ["sh", "-c", script]} for c in "ab"]
    spec = {"containers": containers, "shareProcessNamespace": shared, "terminationGracePeriodSeconds": 1, **fields}
    one.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
    one.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def status(one: Cluster, name: str) -> Any:
    return json.loads(one.kubectl("get", "pod", name, "-o", "json"))["status"]


def restarts(one: Cluster, name: str) -> list[int]:
    return [container["restartCount"] for container in status(one, name)["containerStatuses"]]


def test_a_shared_process_namespace(one: Cluster) -> None:
    create(one, "shared", shared=True)
    seen = one.kubectl("exec", "shared", "-c", "a", "--", "ps").splitlines()
    assert seen[1].split()[0] == "1"
    assert seen[1].endswith("/pause")
    assert sum("sleep 7700" in line for line in seen) == 2
    one.kubectl("debug", "shared", f"--image={IMAGE}", "--target=b", "-c", "look", "--", "sh", "-c", "ps | grep -c 'sleep 7700'")
    one.kubectl(
        "wait",
        "--for=jsonpath={.status.ephemeralContainerStatuses[?(@.name=='look')].state.terminated.exitCode}=0",
        "pod/shared",
        "--timeout=120s",
    )
    assert int(one.kubectl("logs", "shared", "-c", "look")) >= 2
    one.kubectl("delete", "pod", "shared", "--timeout=60s")


def test_apart_each_is_its_own_first_process(one: Cluster) -> None:
    create(one, "apart", shared=False)
    assert "sleep 7700" in one.kubectl("exec", "apart", "-c", "b", "--", "ps").splitlines()[1]
    one.kubectl("delete", "pod", "apart", "--timeout=60s")


def test_containers_live_on_while_podspace_and_the_kubelet_come_and_go(one: Cluster) -> None:
    create(one, "lasting", shared=True, script="i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")
    before = [container["containerID"] for container in status(one, "lasting")["containerStatuses"]]
    one.end("podspace", signal.SIGKILL)
    one.start("podspace")
    one.await_answer("exec", "lasting", "-c", "a", "--", "echo", "here", wanted="here")
    one.end("kubelet")
    one.start("kubelet")
    one.await_answer("exec", "lasting", "-c", "b", "--", "echo", "again", wanted="again")
    assert [container["containerID"] for container in status(one, "lasting")["containerStatuses"]] == before
    assert restarts(one, "lasting") == [0, 0]
    numbers = [int(line) for line in one.kubectl("logs", "lasting", "-c", "a").split()]
    assert numbers == list(range(1, len(numbers) + 1))
    one.kubectl("delete", "pod", "lasting", "--timeout=60s")


def test_a_container_that_ends_is_started_again_and_its_last_words_are_kept(one: Cluster) -> None:
    create(one, "again", shared=False, script="echo first words; sleep 10; exit 3")
    one.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/again", "--timeout=60s")
    assert one.kubectl("logs", "again", "-c", "a", "--previous") == "first words\n"
    assert status(one, "again")["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    one.kubectl("delete", "pod", "again", "--timeout=60s")


def test_limits_change_while_it_runs(one: Cluster) -> None:
    containers = [{"name": "a", "image": IMAGE, "command": ["sleep", "7700"], "resources": {"limits": {"memory": "32Mi"}}}]
    create(one, "grow", shared=True, containers=containers)
    bigger = {"spec": {"containers": [{"name": "a", "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}}]}}
    one.kubectl("patch", "pod", "grow", "--subresource=resize", "-p", json.dumps(bigger))
    one.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].resources.limits.memory}=64Mi", "pod/grow", "--timeout=60s")
    identifier = status(one, "grow")["containerStatuses"][0]["containerID"].removeprefix("podspace://")
    root = cgroups.hierarchies(mounts.table()).get("memory", cgroups.ROOT)
    found = next(path for path in root.glob(f"kubepods*/**/*{identifier}*") if path.is_dir())
    limit = next(found / name for name in ("memory.max", "memory.limit_in_bytes") if (found / name).exists())
    assert int(limit.read_text()) == 64 << 20
    one.kubectl("delete", "pod", "grow", "--timeout=60s")


def test_a_port_is_forwarded_and_files_are_copied(one: Cluster, tmp_path: Path) -> None:
    serve = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"
    create(one, "web", shared=True, containers=[{"name": "a", "image": IMAGE, "command": ["sh", "-c", serve]}])
    forward = f"kubectl port-forward pod/web 18080:8080 > {tmp_path}/said & until grep -q Forwarding {tmp_path}/said; do sleep 0.05; done"
    assert one.run("bash", "-c", f"{forward}; curl -sf http://127.0.0.1:18080/; kill %1").stdout == "hello\n"
    one.kubectl("cp", "web:/www/index.html", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "hello\n"
    one.kubectl("delete", "pod", "web", "--timeout=60s")

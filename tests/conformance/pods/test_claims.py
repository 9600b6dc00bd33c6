"""PersistentVolumeClaims with real kubectl and real containers: bound, used by Pods, grown, given back."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from tests.conformance.pods.test_environment import mounts, volumes
from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

GROUP = 4321


def claim(name: str, size: str = "1Mi", **spec: object) -> pods.Manifest:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted | spec}


def volume(name: str, **spec: object) -> pods.Manifest:
    offered = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "manual"}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": offered | spec}


def using(name: str, **more: object) -> list[pods.Manifest]:
    return volumes(v={"persistentVolumeClaim": {"claimName": name, **more}})


def get(node: Server, kind: str, name: str) -> pods.Manifest:
    found: pods.Manifest = json.loads(node.kubectl("get", kind, name, "-o", "json"))
    return found


def wait(node: Server, what: str, condition: str) -> None:
    node.kubectl("wait", f"--for={condition}", what, "--timeout=30s")


def test_a_claim_is_bound_used_and_given_back(node: Server) -> None:
    write = "stat -c '%a' /v; id -G; echo kept > /v/file; stat -c '%a %g' /v /v/file"
    who = {"runAsUser": 1234, "fsGroup": GROUP}
    pods.create(
        node,
        pod("writes", box(write, volumeMounts=mounts(v="/v")), volumes=using("data"), securityContext=who),
        claim("data"),  # after the Pod that waits for it
    )
    assert pods.output(node, "writes") == ["2777", "0 4321", "2777 4321", "644 4321"]
    read = "cat /v/file; touch /v/x 2>&1 | sed 's/.*: //'"
    pods.create(node, pod("reads", box(read, volumeMounts=mounts(v="/v")), volumes=using("data", readOnly=True)))
    assert pods.output(node, "reads") == ["kept", "Read-only file system"]

    bound = get(node, "pvc", "data")
    assert bound["spec"]["storageClassName"] == "local-path"
    assert bound["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    name = bound["spec"]["volumeName"]
    folder = Path(get(node, "pv", name)["spec"]["local"]["path"])
    assert (folder / "file").read_text() == "kept\n"
    lines = node.kubectl("get", "pvc,pv,sc", "--no-headers").splitlines()
    assert [line.split()[:6] for line in lines if "/data " in line or name in line.split()[0]] == [
        ["persistentvolumeclaim/data", "Bound", name, "1Mi", "RWO", "local-path"],
        [f"persistentvolume/{name}", "1Mi", "RWO", "Delete", "Bound", "default/data"],
    ]
    assert any(line.startswith("storageclass.storage.k8s.io/local-path (default)   podspace.io/local-path   Delete") for line in lines)
    described = node.kubectl("describe", "pvc", "data")
    assert "Successfully provisioned volume" in described
    assert "Used By:" in described

    patch = '{"spec":{"resources":{"requests":{"storage":"2Mi"}}}}'
    node.kubectl("patch", "pvc", "data", "-p", patch)
    wait(node, "pvc/data", "jsonpath={.status.capacity.storage}=2Mi")
    pods.create(node, pod("holds", box("exec sleep 7300", volumeMounts=mounts(v="/v")), volumes=using("data")))
    node.wait_ready("holds")
    node.kubectl("delete", "pvc", "data", "--wait=false")
    assert get(node, "pvc", "data")["metadata"]["deletionTimestamp"]
    assert node.exec("holds", "c", "cat", "/v/file") == "kept\n"
    node.kubectl("delete", "pod", "holds")
    wait(node, f"pv/{name}", "delete")
    assert not folder.exists()
    assert "data" not in node.kubectl("get", "pvc")


def test_a_pod_waits_for_a_claim_that_is_not_there(node: Server) -> None:
    pods.create(node, pod("early", box("true", volumeMounts=mounts(v="/v")), volumes=using("late")))
    assert pods.why_unscheduled(node, "early") == '0/1 nodes are available: persistentvolumeclaim "late" not found.'
    pods.create(node, claim("late"))
    node.wait_for("early", "{.status.phase}=Succeeded")
    node.kubectl("delete", "pod/early", "pvc/late")


def test_a_volume_that_an_administrator_made_is_bound_and_kept(node: Server, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello\n")
    offered = volume("manual", hostPath={"path": str(tmp_path)})
    offered["metadata"]["annotations"] = {"pv.beta.kubernetes.io/gid": "1234"}
    pods.create(node, offered)
    wait(node, "pv/manual", "jsonpath={.status.phase}=Available")
    pods.create(
        node,
        claim("manual", storageClassName="manual"),
        pod("serves", box("cat /v/index.html; id -G", volumeMounts=mounts(v="/v")), volumes=using("manual")),
    )
    page, groups = pods.output(node, "serves")
    assert page == "hello"
    assert "1234" in groups.split()
    node.kubectl("delete", "pod/serves", "pvc/manual")
    wait(node, "pv/manual", "jsonpath={.status.phase}=Released")
    assert (tmp_path / "index.html").exists()
    node.kubectl("delete", "pv", "manual")


def test_a_volume_of_a_cluster_is_refused_by_name(node: Server) -> None:
    pods.create(
        node,
        volume("remote", nfs={"server": "192.0.2.1", "path": "/"}),
        claim("remote", storageClassName="manual", volumeName="remote"),
        pod("remote", box("true", volumeMounts=mounts(v="/v")), volumes=using("remote")),
    )
    node.kubectl("wait", "pod/remote", "--for=condition=PodScheduled", "--timeout=30s")
    pods.wait_told(node, "remote", "FailedMount")
    words = 'MountVolume.SetUp failed for volume "v" : PersistentVolume remote is of kind nfs, which needs a cluster\'s storage'
    assert ("FailedMount", words) in pods.told(node, "remote")
    node.kubectl("delete", "pod/remote", "pvc/remote", "pv/remote")


def test_a_claim_of_a_pods_own_comes_and_goes_with_it(node: Server) -> None:
    template = {"metadata": {"labels": {"made": "for-a-pod"}}, "spec": claim("x")["spec"]}
    sources = volumes(v={"ephemeral": {"volumeClaimTemplate": template}})
    pods.create(node, pod("own", box("exec sleep 7301", volumeMounts=mounts(v="/v")), volumes=sources))
    node.wait_ready("own")
    made = get(node, "pvc", "own-v")
    assert made["metadata"]["labels"] == {"made": "for-a-pod"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == node.pod("own")["metadata"]["uid"]
    node.exec("own", "c", "touch", "/v/file")
    node.kubectl("delete", "pod", "own", "--wait=false")
    wait(node, "pvc/own-v", "delete")


def test_a_class_of_ones_own_waits_for_a_pod_and_keeps_the_data(node: Server) -> None:
    rules = {"volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Retain"}
    kind = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "lazy"},
        "provisioner": "podspace.io/local-path",
    }
    pods.create(node, kind | rules, claim("lazy", storageClassName="lazy"))
    pods.wait_told(node, "lazy", "WaitForFirstConsumer")
    assert get(node, "pvc", "lazy")["status"] == {"phase": "Pending"}
    pods.create(node, pod("lazy", box("echo kept > /v/file", volumeMounts=mounts(v="/v")), volumes=using("lazy")))
    node.wait_for("lazy", "{.status.phase}=Succeeded")
    assert "FailedScheduling" not in [reason for reason, _ in pods.told(node, "lazy")]
    name = get(node, "pvc", "lazy")["spec"]["volumeName"]
    folder = Path(get(node, "pv", name)["spec"]["local"]["path"])
    refused = node.run("kubectl", "patch", "pvc", "lazy", "-p", '{"spec":{"resources":{"requests":{"storage":"9Gi"}}}}', check=False)
    assert "only dynamically provisioned pvc can be resized" in refused.stderr
    node.kubectl("delete", "pod/lazy", "pvc/lazy")
    wait(node, f"pv/{name}", "jsonpath={.status.phase}=Released")
    assert (folder / "file").read_text() == "kept\n"
    node.kubectl("patch", "pv", name, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}')
    wait(node, f"pv/{name}", "delete")
    node.kubectl("delete", "sc", "lazy")


def test_a_namespace_takes_its_claims_along(node: Server) -> None:
    node.kubectl("create", "namespace", "claims")
    wanted = claim("data")
    wanted["metadata"]["namespace"] = "claims"
    holder = pod("holds", box("exec sleep 7303", volumeMounts=mounts(v="/v")), volumes=using("data"))
    holder["metadata"]["namespace"] = "claims"
    pods.create(node, wanted, holder)
    node.kubectl("wait", "-n", "claims", "pod/holds", "--for=condition=Ready", "--timeout=60s")
    name = node.kubectl("get", "pvc", "-n", "claims", "data", "-o", "jsonpath={.spec.volumeName}")
    node.kubectl("delete", "namespace", "claims", timeout=90)
    wait(node, f"pv/{name}", "delete")


def test_claims_are_applied_by_the_server_and_explained(node: Server) -> None:
    node.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(claim("sided")))
    wait(node, "pvc/sided", "jsonpath={.status.phase}=Bound")
    node.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(claim("sided", size="3Mi")))
    wait(node, "pvc/sided", "jsonpath={.status.capacity.storage}=3Mi")
    assert "storageClassName" in node.kubectl("explain", "persistentvolumeclaim.spec")
    assert "provisioner" in node.kubectl("explain", "storageclass")
    refused = node.run("kubectl", "apply", "-f", "-", stdin=json.dumps(claim("bad", accessModes=["Some"])), check=False)
    assert 'spec.accessModes: Unsupported value: "Some"' in refused.stderr
    assert node.podspace("get", "pvc", "sided").split()[:10] == node.kubectl("get", "pvc", "sided").split()[:10]
    assert "local-path" in node.podspace("get", "sc")
    node.kubectl("delete", "pvc", "sided")


def block_device() -> str:
    """Some block device of this machine. It is looked at, never read."""
    for name in sorted(os.listdir("/dev")):
        if stat.S_ISBLK(os.stat(f"/dev/{name}").st_mode):
            return f"/dev/{name}"
    pytest.skip("this machine has no block device")


def test_a_block_device_is_given_by_a_claim(node: Server) -> None:
    device = block_device()
    hostname = node.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.labels.kubernetes\\.io/hostname}")
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}]}
    block = {"volumeMode": "Block", "storageClassName": "manual"}
    given = [{"name": "v", "devicePath": "/dev/given"}]
    pods.create(
        node,
        volume("block", **block, local={"path": device}, nodeAffinity={"required": {"nodeSelectorTerms": [here]}}),
        claim("block", **block),
        pod("block", box("stat -c '%F %t:%T' /dev/given", volumeDevices=given), volumes=using("block")),
        pod("not-mounted", box("true", volumeMounts=mounts(v="/v")), volumes=using("block")),
    )
    number = os.stat(device).st_rdev
    assert pods.output(node, "block") == [f"block special file {os.major(number):x}:{os.minor(number):x}"]
    pods.wait_told(node, "not-mounted", "FailedMount")
    words = "volume v has volumeMode Block, but is specified in volumeMounts"
    assert any(message.endswith(words) for _, message in pods.told(node, "not-mounted"))
    node.kubectl("delete", "pod/block", "pod/not-mounted", "pvc/block", "pv/block")


def test_a_claim_outlives_crashes(own_server: Server) -> None:
    pods.create(own_server, claim("kept"))
    own_server.kill()
    own_server.start()
    append = box("echo x >> /v/file; exec sleep 7302", volumeMounts=mounts(v="/v"))
    pods.create(own_server, pod("kept", append, volumes=using("kept")))
    own_server.wait_ready("kept")
    own_server.kubectl("delete", "pvc", "kept", "--wait=false")
    own_server.kill()
    own_server.start()
    assert own_server.exec("kept", "c", "cat", "/v/file") == "x\n"
    own_server.kubectl("delete", "pod", "kept", "--wait=false")
    own_server.kill()
    own_server.start()
    own_server.kubectl("wait", "--for=delete", "pvc/kept", "--timeout=30s")
    until_gone(own_server.paths.volumes)


def until_gone(folder: Path) -> None:
    """The folder of a volume goes a moment after its claim."""
    end = time.monotonic() + 10
    while list(folder.iterdir()):
        assert time.monotonic() < end, list(folder.iterdir())
        time.sleep(0.05)

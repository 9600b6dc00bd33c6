"""What a node's administrator sets up by flags, as the kubelet sees it: RuntimeClass handlers and the cgroup driver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def machine(module_root: Path, registries_conf: Path) -> Iterator[cri.Machine]:
    flags = ("--runtime-handler", "plain=runc", "--runtime-handler=quick=crun", "--cgroup-driver", "systemd")
    with cri.running(module_root, registries_conf, flags=flags) as running:
        yield running


def test_the_kubelet_is_told_of_them(machine: cri.Machine) -> None:
    status = machine.client.runtime.Status(pb.StatusRequest(verbose=True))
    handlers = {handler.name: handler.features.recursive_read_only_mounts for handler in status.runtime_handlers}
    assert handlers == {"": True, "plain": True, "quick": True}
    assert Path(json.loads(status.info["config"])["runtimeHandlers"]["plain"]).name == "runc"
    assert machine.client.runtime.RuntimeConfig(pb.RuntimeConfigRequest()).linux.cgroup_driver == pb.SYSTEMD


@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
def test_a_sandbox_runs_with_its_handler_and_says_so_after_a_restart_too(machine: cri.Machine) -> None:
    config = cri.sandbox_config("handled", machine.logs)
    sandbox = machine.client.run_sandbox(config, handler="plain")
    container = machine.client.run(
        sandbox, config, cri.container_config("one", machine.client.pull("busybox:1.28"), config, command=["sleep", "1000"])
    )
    machine.restart(kill=True)
    assert machine.client.sandbox_status(sandbox).runtime_handler == "plain"
    listed = machine.client.runtime.ListPodSandbox(pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(id=sandbox))).items
    assert [item.runtime_handler for item in listed] == ["plain"]
    assert machine.client.output(container, "echo", "still here") == "still here\n"


def test_what_is_not_configured_is_refused_and_leaves_nothing(machine: cri.Machine) -> None:
    before = machine.client.sandboxes()
    config = cri.sandbox_config("unhandled", machine.logs)
    with pytest.raises(grpc.RpcError, match='no runtime for "kata" is configured') as refused:
        machine.client.run_sandbox(config, handler="kata")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    config.linux.cgroup_parent = "/kubepods/pod1"
    with pytest.raises(grpc.RpcError, match='cgroup_parent "/kubepods/pod1" is not a slice'):
        machine.client.run_sandbox(config)
    assert machine.client.sandboxes() == before
    spec = pb.ImageSpec(image="busybox:1.28", runtime_handler="kata")
    with pytest.raises(grpc.RpcError, match='no runtime for "kata" is configured'):
        machine.client.image.PullImage(pb.PullImageRequest(image=spec), timeout=cri.SECONDS)
    spec.runtime_handler = "plain"
    assert machine.client.image.PullImage(pb.PullImageRequest(image=spec), timeout=cri.SECONDS).image_ref

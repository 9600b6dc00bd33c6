"""The calls a kubelet makes for the page's Pod, with a shared process namespace and without."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from cri_api.v1 import api_pb2 as pb

from tests.support import cri, server

pytestmark = pytest.mark.root


def test_the_runtime_says_who_it_is_and_that_it_is_ready(client: cri.Client) -> None:
    version = client.runtime.Version(pb.VersionRequest(version="0.1.0"))
    assert (version.runtime_name, version.runtime_api_version) == ("podspace", "v1")
    assert version.version
    assert version.runtime_version
    status = client.runtime.Status(pb.StatusRequest(verbose=True))
    assert {condition.type: condition.status for condition in status.status.conditions} == {"RuntimeReady": True, "NetworkReady": True}
    assert [handler.name for handler in status.runtime_handlers] == [""]
    assert client.runtime.RuntimeConfig(pb.RuntimeConfigRequest()).linux.cgroup_driver == pb.CGROUPFS


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "not-shared"])
def test_the_pods_life_from_image_to_removal(shared: bool, machine: cri.Machine) -> None:
    client = machine.client
    name = "nginx-shared" if shared else "nginx"
    nginx, busybox = client.pull("nginx"), client.pull("busybox:1.28")
    config = cri.sandbox_config(name, machine.logs, options={"pid": pb.POD if shared else pb.CONTAINER})
    sandbox = client.run_sandbox(config)
    status = client.sandbox_status(sandbox)
    assert (status.state, status.metadata.name, status.metadata.attempt) == (pb.SANDBOX_READY, name, 0)
    assert status.network.ip
    assert dict(status.labels) == dict(config.labels)

    web = client.run(sandbox, config, cri.container_config("nginx", nginx, config))
    ptrace = {"capabilities": pb.Capability(add_capabilities=["SYS_PTRACE"])}
    shell = client.run(sandbox, config, cri.container_config("shell", busybox, config, stdin=True, tty=True, security=ptrace))
    assert client.status(web).state == pb.CONTAINER_RUNNING
    assert set(client.containers(pod_sandbox_id=sandbox)) == {web, shell}

    fetch = f"until wget -qO- http://{status.network.ip}; do sleep 0.1; done"
    assert "nginx" in client.output(shell, "sh", "-c", fetch)  # who answers has its title, and runs
    processes = [line.split(None, 2) for line in client.output(shell, "ps", "ax").splitlines()[1:]]
    first = next(words for pid, *words in processes if pid == "1")
    assert first == (["root", "/pause"] if shared else ["root", "sh"])
    assert any("nginx: master process" in words[-1] for words in processes) is shared
    assert client.output(shell, "hostname").strip() == name

    for container in (web, shell):
        client.stop(container)
        assert client.status(container).state == pb.CONTAINER_EXITED
    assert (client.status(shell).exit_code, client.status(shell).reason) == (137, "Error")
    client.stop_sandbox(sandbox)
    assert client.sandbox_status(sandbox).state == pb.SANDBOX_NOTREADY
    client.stop_sandbox(sandbox)  # a kubelet does it twice
    for container in (web, shell):
        client.remove(container)
    client.remove_sandbox(sandbox)
    assert sandbox not in client.sandboxes()
    assert client.containers(pod_sandbox_id=sandbox) == []


def test_what_is_gone_can_be_stopped_and_removed(client: cri.Client) -> None:
    gone = "0123456789abcdef" * 4
    client.stop(gone)
    client.remove(gone)
    client.stop_sandbox(gone)
    client.remove_sandbox(gone)
    client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image="sha256:" + gone)))
    assert not client.image.ImageStatus(pb.ImageStatusRequest(image=pb.ImageSpec(image="no/such:image"))).HasField("image")


def test_errors_carry_the_codes_a_kubelet_goes_by(client: cri.Client, machine: cri.Machine) -> None:
    config = cri.sandbox_config("codes", machine.logs)
    sandbox = client.run_sandbox(config)
    image = client.pull("busybox:1.28")
    container = client.run(sandbox, config, cri.container_config("one", image, config, command=["sleep", "100"]))
    assert code(lambda: client.run_sandbox(config)) is grpc.StatusCode.ALREADY_EXISTS
    assert code(lambda: client.create(sandbox, config, cri.container_config("one", image, config))) is grpc.StatusCode.ALREADY_EXISTS
    assert code(lambda: client.create(sandbox, config, cri.container_config("two", "absent", config))) is grpc.StatusCode.NOT_FOUND
    assert code(lambda: client.status("0" * 64)) is grpc.StatusCode.NOT_FOUND
    assert code(lambda: client.sandbox_status("0" * 64)) is grpc.StatusCode.NOT_FOUND
    assert code(lambda: client.start(container)) is grpc.StatusCode.FAILED_PRECONDITION
    assert code(lambda: client.exec(container, "sleep", "100", seconds=1)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.output(container, "ps", "ax").count("sleep 100") == 1  # the container's own; what took too long is gone
    group_alone = cri.container_config("three", image, config, security={"run_as_group": pb.Int64Value(value=1)})
    assert code(lambda: client.create(sandbox, config, group_alone)) is grpc.StatusCode.INVALID_ARGUMENT
    assert code(lambda: client.runtime.CheckpointContainer(pb.CheckpointContainerRequest(container_id=container))) is (
        grpc.StatusCode.UNIMPLEMENTED
    )
    assert code(lambda: client.pull("127.0.0.1:9/no/registry")) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND)


def code(call: object) -> grpc.StatusCode:
    assert callable(call)
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    assert isinstance(error, grpc.Call)
    found: grpc.StatusCode = error.code()
    return found


def test_ids_may_be_shortened_and_lists_filtered(client: cri.Client, machine: cri.Machine) -> None:
    config = cri.sandbox_config("filtered", machine.logs)
    sandbox = client.run_sandbox(config)
    container = client.create(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config))
    assert client.status(container[:13]).id == container
    assert client.containers(id=container[:13]) == [container]
    assert client.containers(pod_sandbox_id=sandbox, state=pb.ContainerStateValue(state=pb.CONTAINER_CREATED)) == [container]
    assert client.containers(pod_sandbox_id=sandbox, state=pb.ContainerStateValue(state=pb.CONTAINER_RUNNING)) == []
    assert client.containers(label_selector={"io.kubernetes.pod.name": "filtered"}) == [container]
    assert client.containers(label_selector={"io.kubernetes.pod.name": "other"}) == []


def test_a_log_is_rotated_without_losing_a_line(client: cri.Client, machine: cri.Machine) -> None:
    config = cri.sandbox_config("logs", machine.logs)
    sandbox = client.run_sandbox(config)
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done; sleep 100"
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sh", "-c", script]))
    log = Path(client.status(container).log_path)
    assert log.is_absolute()
    rotated = log.with_suffix(".rotated")
    log.rename(rotated)
    client.runtime.ReopenContainerLog(pb.ReopenContainerLogRequest(container_id=container))
    assert log.exists()
    size = rotated.stat().st_size
    client.stop(container, grace=0)
    words = [line.split(" ", 3) for file in (rotated, log) for line in file.read_text().splitlines()]
    lines = "".join(text if tag == "P" else text + "\n" for _, _, tag, text in words).splitlines()
    assert lines == [f"line {number + 1}" for number in range(len(lines))]
    assert rotated.stat().st_size == size


def test_limits_are_changed_in_place_and_told(client: cri.Client, machine: cri.Machine) -> None:
    config = cri.sandbox_config("limits", machine.logs)
    sandbox = client.run_sandbox(config)
    limits = pb.LinuxContainerResources(cpu_period=100_000, cpu_quota=50_000, cpu_shares=102, memory_limit_in_bytes=64 << 20)
    container = client.run(
        sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sleep", "100"], resources=limits)
    )
    more = pb.LinuxContainerResources(memory_limit_in_bytes=96 << 20)
    client.runtime.UpdateContainerResources(pb.UpdateContainerResourcesRequest(container_id=container, linux=more))
    told = client.status(container).resources.linux
    assert (told.memory_limit_in_bytes, told.cpu_quota) == (96 << 20, 50_000)


def test_usage_is_counted(client: cri.Client, machine: cri.Machine) -> None:
    config = cri.sandbox_config("usage", machine.logs)
    sandbox = client.run_sandbox(config)
    script = "dd if=/dev/zero of=/file bs=1M count=3 2>/dev/null; sleep 100"
    container = client.run(sandbox, config, cri.container_config("one", client.pull("busybox:1.28"), config, command=["sh", "-c", script]))
    assert client.output(container, "sh", "-c", "while [ ! -e /file ] || [ $(stat -c %s /file) -lt 3145728 ]; do :; done; echo done")
    found = client.runtime.ContainerStats(pb.ContainerStatsRequest(container_id=container)).stats
    assert found.attributes.id == container
    assert found.cpu.timestamp
    assert found.cpu.usage_core_nano_seconds.value
    assert found.memory.working_set_bytes.value
    assert found.writable_layer.used_bytes.value >= 3 << 20
    listed = client.runtime.ListContainerStats(pb.ListContainerStatsRequest()).stats
    assert container in [item.attributes.id for item in listed]
    pod = client.runtime.PodSandboxStats(pb.PodSandboxStatsRequest(pod_sandbox_id=sandbox)).stats
    assert pod.linux.network.default_interface.name == "eth0"
    assert pod.linux.process.process_count.value >= 2
    assert [item.attributes.id for item in pod.linux.containers] == [container]
    disk = client.image.ImageFsInfo(pb.ImageFsInfoRequest())
    assert disk.image_filesystems[0].used_bytes.value
    assert disk.container_filesystems[0].used_bytes.value


def test_containers_outlive_the_server(machine: cri.Machine) -> None:
    config = cri.sandbox_config("outlive", machine.logs)
    sandbox = machine.client.run_sandbox(config)
    image = machine.client.pull("busybox:1.28")
    container = machine.client.run(sandbox, config, cri.container_config("one", image, config, command=["sleep", "1000"]))
    started = machine.client.status(container).started_at
    for kill in (False, True):
        machine.restart(kill=kill)
        status = machine.client.status(container)
        assert (status.state, status.started_at) == (pb.CONTAINER_RUNNING, started)
        assert machine.client.sandbox_status(sandbox).state == pb.SANDBOX_READY
        assert machine.client.output(container, "echo", "still here") == "still here\n"


def test_a_port_of_the_host_leads_into_the_sandbox(machine: cri.Machine) -> None:
    port = server.free_port()
    ports = [pb.PortMapping(host_port=port, container_port=80), pb.PortMapping(container_port=80)]
    config = cri.sandbox_config("ports", machine.logs, port_mappings=ports)
    sandbox = machine.client.run_sandbox(config)
    container = machine.client.run(sandbox, config, cri.container_config("nginx", machine.client.pull("nginx"), config))
    assert machine.client.output(container, "sh", "-c", "until [ -e /run/nginx.pid ] || [ -e /var/run/nginx.pid ]; do :; done; echo up")

    def page() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as answer:
            found: bytes = answer.read()
        return found

    assert b"nginx" in page()
    other = cri.sandbox_config("ports-again", machine.logs, port_mappings=ports)
    assert code(lambda: machine.client.run_sandbox(other)) is grpc.StatusCode.UNAVAILABLE
    machine.restart(kill=True)
    assert b"nginx" in page()
    machine.client.remove_sandbox(sandbox)
    with pytest.raises(urllib.error.URLError):
        page()

"""A kubelet's half of the CRI: the calls it makes for a Pod, in its order, over the real socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cri_api.v1 import api_pb2 as pb
from cri_api.v1 import api_pb2_grpc as stubs

from tests.support import leaks, server

SECONDS = 60.0


class Client:
    """Both services; ``runtime.RunPodSandbox(request)`` as generated."""

    def __init__(self, socket: Path, *, most_bytes: int = 16 << 20) -> None:
        """``most_bytes`` of one answer: a kubelet takes 16 MiB."""
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.max_receive_message_length", most_bytes)])
        grpc.channel_ready_future(self.channel).result(timeout=10)
        self.runtime: Any = stubs.RuntimeServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.image: Any = stubs.ImageServiceStub(self.channel)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self.channel.close()

    def pull(self, name: str) -> str:
        """As a kubelet: look, pull if it is not there, return the reference for CreateContainer."""
        spec = pb.ImageSpec(image=name)
        present = self.image.ImageStatus(pb.ImageStatusRequest(image=spec), timeout=SECONDS).image
        if present.id:
            return str(present.id)
        return str(self.image.PullImage(pb.PullImageRequest(image=spec), timeout=SECONDS).image_ref)

    def run_sandbox(self, config: pb.PodSandboxConfig, *, handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return str(self.runtime.RunPodSandbox(request, timeout=SECONDS).pod_sandbox_id)

    def create(self, sandbox: str, sandbox_config: pb.PodSandboxConfig, config: pb.ContainerConfig) -> str:
        request = pb.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=sandbox_config)
        return str(self.runtime.CreateContainer(request, timeout=SECONDS).container_id)

    def start(self, container: str) -> None:
        self.runtime.StartContainer(pb.StartContainerRequest(container_id=container), timeout=SECONDS)

    def run(self, sandbox: str, sandbox_config: pb.PodSandboxConfig, config: pb.ContainerConfig) -> str:
        container = self.create(sandbox, sandbox_config, config)
        self.start(container)
        return container

    def status(self, container: str) -> pb.ContainerStatus:
        answer = self.runtime.ContainerStatus(pb.ContainerStatusRequest(container_id=container), timeout=SECONDS)
        found: pb.ContainerStatus = answer.status
        return found

    def sandbox_status(self, sandbox: str) -> pb.PodSandboxStatus:
        answer = self.runtime.PodSandboxStatus(pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox), timeout=SECONDS)
        found: pb.PodSandboxStatus = answer.status
        return found

    def exec(self, container: str, *argv: str, seconds: int = 50) -> pb.ExecSyncResponse:
        request = pb.ExecSyncRequest(container_id=container, cmd=argv, timeout=seconds)
        answer: pb.ExecSyncResponse = self.runtime.ExecSync(request, timeout=SECONDS)
        return answer

    def output(self, container: str, *argv: str) -> str:
        """Standard output of a command that must succeed."""
        done = self.exec(container, *argv)
        assert done.exit_code == 0, done
        return done.stdout.decode()

    def stop(self, container: str, *, grace: int = 1) -> None:
        self.runtime.StopContainer(pb.StopContainerRequest(container_id=container, timeout=grace), timeout=SECONDS)

    def remove(self, container: str) -> None:
        self.runtime.RemoveContainer(pb.RemoveContainerRequest(container_id=container), timeout=SECONDS)

    def stop_sandbox(self, sandbox: str) -> None:
        self.runtime.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=sandbox), timeout=SECONDS)

    def remove_sandbox(self, sandbox: str) -> None:
        self.runtime.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox), timeout=SECONDS)

    def sandboxes(self) -> list[str]:
        return [item.id for item in self.runtime.ListPodSandbox(pb.ListPodSandboxRequest(), timeout=SECONDS).items]

    def containers(self, **wanted: Any) -> list[str]:
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(**wanted))
        return [item.id for item in self.runtime.ListContainers(request, timeout=SECONDS).containers]

    def remove_everything(self) -> None:
        for sandbox in self.sandboxes():
            self.stop_sandbox(sandbox)
            self.remove_sandbox(sandbox)


def sandbox_config(
    name: str, logs: Path, *, attempt: int = 0, options: Mapping[str, Any] | None = None, privileged: bool = False, **fields: Any
) -> pb.PodSandboxConfig:
    """What a kubelet sends for a Pod. ``options``: of NamespaceOption; a kubelet's default is a pidns for each container.

    ``privileged``: some container of it is.
    """
    namespaces = pb.NamespaceOption(**{"pid": pb.CONTAINER, **(options or {})})
    linux = fields.pop("linux", None) or pb.LinuxPodSandboxConfig()
    linux.security_context.namespace_options.CopyFrom(namespaces)
    linux.security_context.privileged = privileged
    linux.security_context.seccomp.profile_type = pb.SecurityProfile.RuntimeDefault
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default", attempt=attempt),
        hostname=name,
        log_directory=str(logs / f"default_{name}_uid-{name}"),
        labels={"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": f"uid-{name}"},
        annotations={"kubernetes.io/config.source": "api"},
        linux=linux,
        **fields,
    )


def container_config(
    name: str,
    image: str,
    sandbox: pb.PodSandboxConfig,
    *,
    command: Sequence[str] = (),
    attempt: int = 0,
    security: Mapping[str, Any] | None = None,
    **fields: Any,
) -> pb.ContainerConfig:
    """What a kubelet sends for a container of it."""
    usual: dict[str, Any] = {
        "namespace_options": sandbox.linux.security_context.namespace_options,
        "masked_paths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        "readonly_paths": ["/proc/sys", "/proc/bus"],
        "seccomp": pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
    }
    context = pb.LinuxContainerSecurityContext(**(usual | dict(security or {})))
    resources = fields.pop("resources", None) or pb.LinuxContainerResources(cpu_period=100_000, cpu_shares=2, oom_score_adj=1000)
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=name, attempt=attempt),
        image=pb.ImageSpec(image=image, user_specified_image=image),
        command=command,
        log_path=f"{name}/{attempt}.log",
        labels={"io.kubernetes.container.name": name, **dict(sandbox.labels)},
        annotations={"io.kubernetes.container.restartCount": str(attempt)},
        linux=pb.LinuxContainerConfig(resources=resources, security_context=context),
        **fields,
    )


@dataclass(slots=True, kw_only=True)
class Machine:
    """A server with a CRI socket, and a client of it. ``restart`` leaves everything to the next server."""

    server: server.Server
    client: Client

    @property
    def logs(self) -> Path:
        return self.server.root / "pod-logs"

    def restart(self, *, kill: bool = False) -> None:
        self.client.close()
        _ = self.server.kill() if kill else self.server.stop()
        self.server.start()
        self.client = Client(socket_of(self.server.root))


def socket_of(root: Path) -> Path:
    return root / "run" / "cri.sock"


@contextlib.contextmanager
def running(root: Path, registries_conf: Path, *, verb: str = "cri", flags: Sequence[str] = ()) -> Iterator[Machine]:
    """A server for the length of a ``with`` block; afterwards its sandboxes are removed and the machine is compared with before.

    It has the built-in bridge unless ``flags`` say otherwise.
    """
    flags = ("--cri-socket", str(socket_of(root)), "--network", "bridge", *flags)
    podspace = server.Server(root=root, port=server.free_port(), registries_conf=registries_conf, flags=flags, verb=verb)
    before = leaks.take(root, podspace.paths.instance)
    podspace.start()
    machine = Machine(server=podspace, client=Client(socket_of(root)))
    try:
        yield machine
    finally:
        machine.client.remove_everything()
        machine.client.close()
        if verb == "serve":
            podspace.delete_everything()
        status = podspace.stop()
    assert status == 0, "the server ended with an error:\n" + "".join(podspace.log[-40:])
    left = leaks.take(root, podspace.paths.instance).minus(before)
    assert not left, "left behind:\n" + "\n".join(left)

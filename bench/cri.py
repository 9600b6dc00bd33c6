"""The CRI doors of podspace and containerd side by side: what a kubelet asks for a Pod of two containers, in one run, taking turns.

Taking turns matters more than the number of runs: whatever else the machine does, it does to both. Beside the time there is the CPU that
the whole tree took (the server, its helpers, the containers), which a neighbour's load hardly changes: the server runs in a cgroup of
its own and the Pods are put below the same one.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
from cri_api.v1 import api_pb2 as pb

from bench import measure, server
from podspace.linux import cgroup_stats, cgroups
from tests.support import cri as kubelet

IMAGE = "docker.io/library/busybox:1.28"
PAUSE = "docker.io/podspace-test/pause:latest"
GROUP = "/podspace-bench"
ENDS_AT_ONCE = ("sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait")
ACTIONS = {
    "up": "RunPodSandbox + 2 x (CreateContainer, StartContainer)",
    "exec": "ExecSync of true",
    "down": "2 x StopContainer, StopPodSandbox, and remove all",
}
BAR = 1 / 3
SECONDS = 120.0
MEBI = 1 << 20


class Runtime(Protocol):
    """A server with the CRI on a socket."""

    name: str
    root: Path
    client: kubelet.Client
    process: subprocess.Popen[Any]

    @property
    def description(self) -> str: ...

    def close(self) -> None: ...


def connect(socket: Path) -> kubelet.Client:
    return kubelet.Client(socket)


class Podspace:
    """``podspace cri`` below one folder. ``flags``: which OCI runtime, which network."""

    def __init__(self, root: Path, *, name: str, registries_conf: Path, flags: tuple[str, ...] = ()) -> None:
        self.name = name
        self.root = root
        socket = root / "run" / "cri.sock"
        argv = [*server.podspace_command(), "cri", "--root", str(root), "--cri-socket", str(socket)]
        log = root.with_suffix(".log")
        with log.open("w") as errors:
            self.process: subprocess.Popen[Any] = subprocess.Popen(
                [*argv, "--registries-conf", str(registries_conf), *flags], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self.process.stdout is not None
        if "ready\n" not in self.process.stdout:
            raise SystemExit(f"bench: {name} did not start:\n{log.read_text()[-4000:]}")
        self.client = connect(socket)

    @property
    def description(self) -> str:
        """What it says of itself: the OCI runtime it chose, its network."""
        return f"{(self.root / 'run' / 'oci-runtime').read_text().strip()} by default"

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


@dataclass(slots=True)
class Samples:
    """Of one action of one runtime: milliseconds on the clock, milliseconds of CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Kubelet:
    """The calls for Pods on one runtime, and what they cost."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.samples = {action: Samples() for action in ACTIONS}
        self._cgroups = cgroups.detect()
        self._group = f"{GROUP}/{runtime.name.replace(' ', '-')}"
        self._number = 0
        self._join()
        self._image = runtime.client.pull(IMAGE)

    def _join(self) -> None:
        """Put the server where its CPU is counted together with its Pods'."""
        self._cgroups.create(f"{self._group}/server", cgroups.Limits())
        folder = self._cgroups.folder("cpuacct", f"{self._group}/server")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cgroup.procs").write_text(str(self.runtime.process.pid))

    def close(self) -> None:
        """End the runtime with what is left of Pods, and its cgroups."""
        with contextlib.suppress(grpc.RpcError):
            self.runtime.client.remove_everything()
        self.runtime.client.close()
        self.runtime.close()
        self._cgroups.remove(self._group)
        self._cgroups.prune(GROUP)

    def round(self, *, counts: bool, execs: int = 3) -> None:
        """One Pod's life."""
        config = self.sandbox()
        pod: list[str] = []
        self._timed("up", lambda: pod.extend(self.up(config)), counts)
        sandbox, *containers = pod
        for _ in range(execs):
            self._timed("exec", lambda: self._true(containers[0]), counts)
        self._timed("down", lambda: self.down(sandbox, containers), counts)

    def _timed(self, action: str, act: Callable[[], object], counts: bool) -> None:
        cpu, wall = self._cpu_nanos(), time.perf_counter_ns()
        act()
        wall, cpu = time.perf_counter_ns() - wall, self._cpu_nanos() - cpu
        if counts:
            self.samples[action].wall.append(wall / 1e6)
            self.samples[action].cpu.append(cpu / 1e6)

    def _cpu_nanos(self) -> int:
        return cgroup_stats.read(self._cgroups, self._group).cpu_nanos

    def sandbox(self) -> pb.PodSandboxConfig:
        self._number += 1
        name = f"bench-{self._number}"
        linux = pb.LinuxPodSandboxConfig(cgroup_parent=f"{self._group}/{name}")
        return kubelet.sandbox_config(name, self.runtime.root / "pod-logs", linux=linux)

    def up(self, config: pb.PodSandboxConfig) -> list[str]:
        """A kubelet makes one container after the other."""
        sandbox = self.runtime.client.run_sandbox(config)
        return [sandbox, *(self._container(sandbox, config, name) for name in "ab")]

    def _container(self, sandbox: str, config: pb.PodSandboxConfig, name: str) -> str:
        wanted = kubelet.container_config(name, self._image, config, command=ENDS_AT_ONCE)
        return self.runtime.client.run(sandbox, config, wanted)

    def _true(self, container: str) -> None:
        done = self.runtime.client.exec(container, "true")
        if done.exit_code != 0:
            raise SystemExit(f"bench: {self.runtime.name}: exec of true: {done}")

    def down(self, sandbox: str, containers: list[str]) -> None:
        client = self.runtime.client
        for container in containers:
            client.stop(container, grace=30)
        client.stop_sandbox(sandbox)
        for container in containers:
            client.remove(container)
        client.remove_sandbox(sandbox)

    def many(self, number: int) -> tuple[dict[str, pb.PodSandboxConfig], float]:
        """Ask for sandboxes all at once; return them by id, and how many seconds it took."""
        started = time.perf_counter()
        configs = [self.sandbox() for _ in range(number)]
        calls = [self._call("RunPodSandbox", pb.RunPodSandboxRequest(config=config)) for config in configs]
        found = {str(call.result().pod_sandbox_id): config for call, config in zip(calls, configs, strict=True)}
        return found, time.perf_counter() - started

    def _call(self, rpc: str, request: object) -> grpc.Future[Any]:
        call: grpc.Future[Any] = getattr(self.runtime.client.runtime, rpc).future(request, timeout=SECONDS)
        return call

    def one_container_each(self, sandboxes: Mapping[str, pb.PodSandboxConfig]) -> None:
        for sandbox, config in sandboxes.items():
            self._container(sandbox, config, "a")

    def remove_all(self, sandboxes: Iterable[str]) -> None:
        for call in [self._call("RemovePodSandbox", pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox)) for sandbox in sandboxes]:
            call.result()

    def times(self, action: str) -> measure.Times:
        return measure.Times(name=f"{self.runtime.name}: {ACTIONS[action]}", millis=tuple(self.samples[action].wall))

    def cpu(self, action: str) -> measure.Times:
        return measure.Times(name=f"{self.runtime.name}: {ACTIONS[action]}, CPU", millis=tuple(self.samples[action].cpu))


@contextlib.contextmanager
def kubelets(*runtimes: Callable[[], Runtime]) -> Iterator[list[Kubelet]]:
    """Start the runtimes, end them whatever happens."""
    with contextlib.ExitStack() as stack:
        found = []
        for make in runtimes:
            runtime = make()
            try:
                one = Kubelet(runtime)
            except BaseException:
                runtime.close()
                raise
            stack.callback(one.close)
            found.append(one)
        yield found


def compare(theirs: Kubelet, ours: list[Kubelet], runs: int) -> None:
    """Rounds in turns; then the figures and the bars."""
    for run in range(runs + 1):
        for one in (theirs, *ours):
            one.round(counts=run > 0)
    for action in ACTIONS:
        for one in (theirs, *ours):
            print(one.times(action))
            print(one.cpu(action))
    print("\nratios to containerd in the same run")
    for action in ACTIONS:
        for one in ours:
            time_ratio = one.times(action).median / theirs.times(action).median
            cpu_ratio = one.cpu(action).median / theirs.cpu(action).median
            print(f"  {one.times(action).name:<78} time {time_ratio:.2f} ({bar(time_ratio, BAR)}), CPU {cpu_ratio:.2f}")


def crowd(ours: Kubelet, number: int) -> None:
    """Sandboxes all at once, then what they and a container each cost while nothing happens."""
    pid = ours.runtime.process.pid
    empty = server.resident_bytes(pid)
    sandboxes, seconds = ours.many(number)
    print(f"\n{number} sandboxes at once: all ready after {seconds:.1f} s")
    ours.one_container_each(sandboxes)
    full, conmons = server.resident_bytes(pid), server.conmon_bytes(ours.runtime.root)
    print(
        f"  server: {full / MEBI:.0f} MiB resident with a container in each ({empty / MEBI:.0f} MiB before; {bar(full / 1e6, 120, ' MB')})"
    )
    each = sum(conmons) / len(conmons)
    print(f"  beside it, per container: {each / MEBI:.2f} MiB (conmon, proportional set size; {bar(each / 1e6, 3, ' MB')})")
    print(f"  idle: {server.idle_cpu(pid, 10) * 100:.2f} % of one core over 10 s")
    ours.remove_all(sandboxes)


def bar(value: float, most: float, unit: str = "") -> str:
    return f"bar {most:.3g}{unit}: {'ok' if value <= most else 'MISSED'}"

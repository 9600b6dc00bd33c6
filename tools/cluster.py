"""A cluster of one node whose kubelet has its Pods run by this tree: ``python -m tools.cluster --binaries DIR``, until ^C.

``DIR`` has etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubelet of any Kubernetes from 1.31 on. They are not in
the repository, and no package of Debian's has them: build them from Kubernetes' source, or unpack a release. All of it lives in one folder
and in a network namespace of its own, so that the kubelet's port and the cluster's network are nobody else's, and is gone with the context.
Source: kubernetes.io/docs/reference/command-line-tools-reference, kubelet-config.v1beta1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from cri_api.v1 import api_pb2 as pb
from cri_api.v1 import api_pb2_grpc as stubs

from podspace.linux import mounts
from tools import registry

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
READY_SECONDS = 120.0
_ADDRESS, _PORT, _TOKEN = "10.99.0.1", 16443, "of-this-cluster-alone"
_NODE = "one"
REPO = Path(__file__).resolve().parents[1]


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A running one. What is started is kept by name, and may be ended and started again, as a test of restarts would."""

    folder: Path
    binaries: Path
    driver: str
    registries_conf: Path
    netns: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def socket(self) -> Path:
        return self.folder / "cri.sock"

    def run(self, *argv: str, stdin: str = "", check: bool = True, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A program in the cluster's network, with KUBECONFIG."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [*self._inside, *argv], input=stdin, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{self.last_words()}")
        return done

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        return self.run("kubectl", *argv, stdin=stdin).stdout

    @property
    def _inside(self) -> Sequence[str]:
        return ("nsenter", f"--net=/run/netns/{self.netns}")

    def start(self, name: str, *, inside: bool = True) -> None:
        argv = [*(self._inside if inside else ()), *_COMMANDS[name](self)]
        environment = os.environ | {"PYTHONPATH": str(REPO / "src")}
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        process.send_signal(number)
        process.wait(30)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def last_words(self) -> str:
        """The end of every log, for who has to find out what went wrong."""
        return "\n".join(
            f"--- {name}\n{self.log(name).read_text(errors='replace')[-1500:]}" for name in _COMMANDS if self.log(name).exists()
        )

    def await_answer(self, *argv: str, wanted: str = "") -> None:
        """Ask until the answer has ``wanted`` in it.  Raises: AssertionError, with the logs."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            done = self.run("kubectl", *argv, check=False)
            if done.returncode == 0 and wanted in done.stdout:
                return
            time.sleep(0.25)
        raise AssertionError(f"kubectl {' '.join(argv)} did not answer {wanted!r}\n{done.stdout}{done.stderr}\n{self.last_words()}")


def missing(binaries: Path) -> list[str]:
    """The programs that are not there."""
    return [name for name in PROGRAMS if not os.access(binaries / name, os.X_OK)]


@contextlib.contextmanager
def running(folder: Path, binaries: Path, registries_conf: Path, *, images: Sequence[str], driver: str = "cgroupfs") -> Iterator[Cluster]:
    """Start everything and wait until the node is ready. ``driver``: of cgroups, ``cgroupfs`` or ``systemd``.

    ``images`` are pulled before, from outside: the cluster's network reaches no registry.
    """
    if lacking := missing(binaries):
        raise SystemExit(f"{binaries} lacks {', '.join(lacking)}")
    cluster = Cluster(
        folder=folder, binaries=binaries, driver=driver, registries_conf=registries_conf, netns=f"podspace-cluster-{os.getpid()}"
    )
    _write_files(cluster)
    with _network(cluster.netns), _cgroups_as_before():
        try:
            _pull(cluster, images)
            for name in ("etcd", "kube-apiserver", "podspace"):
                cluster.start(name)
            cluster.await_answer("get", "--raw", "/readyz", wanted="ok")
            for name in ("kube-controller-manager", "kube-scheduler", "kubelet"):
                cluster.start(name)
            cluster.await_answer("get", "node", _NODE, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}", wanted="True")
            cluster.await_answer("get", "serviceaccount", "default")
            yield cluster
        finally:
            _end(cluster)


def _end(cluster: Cluster) -> None:
    """The kubelet first, or it would start again what is removed."""
    for name in [name for name in reversed(_COMMANDS) if name != "podspace" and name in cluster.running]:
        cluster.end(name, signal.SIGKILL if name == "etcd" else signal.SIGTERM)
    if "podspace" in cluster.running:
        _remove_sandboxes(cluster.socket)
        cluster.end("podspace")
    for mounted in mounts.below(cluster.folder):
        subprocess.run(["umount", "--lazy", mounted], check=False)


def _pull(cluster: Cluster, images: Sequence[str]) -> None:
    cluster.start("podspace", inside=False)
    with grpc.insecure_channel(f"unix:{cluster.socket}") as channel:
        service: Any = stubs.ImageServiceStub(channel)  # type: ignore[no-untyped-call]
        for name in images:
            service.PullImage(pb.PullImageRequest(image=pb.ImageSpec(image=name)), timeout=60, wait_for_ready=True)
    cluster.end("podspace")


def _remove_sandboxes(socket: Path) -> None:
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        runtime: Any = stubs.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call]
        for sandbox in runtime.ListPodSandbox(pb.ListPodSandboxRequest(), timeout=30).items:
            runtime.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=sandbox.id), timeout=30)
            runtime.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id), timeout=30)


@contextlib.contextmanager
def _network(netns: str) -> Iterator[None]:
    """A namespace with an address that is the node's and reaches no further."""
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        for words in (
            "link set lo up",
            "link add node type bridge",
            f"address add {_ADDRESS}/24 dev node",
            "link set node up",
            "route add default dev node",
        ):
            subprocess.run(["ip", "-n", netns, *words.split()], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=False)


@contextlib.contextmanager
def _cgroups_as_before() -> Iterator[None]:
    """A kubelet leaves the cgroups of its Pods' classes behind."""
    before = set(_kubepods())
    yield
    for top in set(_kubepods()) - before:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _kubepods() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return [path for pattern in ("kubepods*", "*/kubepods*") for path in root.glob(pattern) if path.is_dir()]


def _write_files(cluster: Cluster) -> None:
    folder = cluster.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.csv").write_text(f'{_TOKEN},admin,1,"system:masters"\n')
    (folder / "resolv.conf").write_text("nameserver 10.0.0.10\n")
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    server = {"server": f"https://{_ADDRESS}:{_PORT}", "insecure-skip-tls-verify": True}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "admin"}}],
        "current-context": "one",
    }
    cluster.kubeconfig.write_text(json.dumps(kubeconfig))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(cluster)))


def _kubelet(cluster: Cluster) -> Mapping[str, Any]:
    """Anybody in its network may ask it anything: there is nobody else. Cgroups of version 1 and swap are no reason to stop."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": _ADDRESS,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": cluster.driver,
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{cluster.socket}",
        "podLogsDir": str(cluster.folder / "logs"),
        "resolvConf": str(cluster.folder / "resolv.conf"),
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def _etcd(cluster: Cluster) -> list[str]:
    clients, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    words = [f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}", "--unsafe-no-fsync"]
    return [str(cluster.binaries / "etcd"), f"--data-dir={cluster.folder / 'etcd'}", *words]


def _apiserver(cluster: Cluster) -> list[str]:
    return [
        str(cluster.binaries / "kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={_ADDRESS}",
        f"--advertise-address={_ADDRESS}",
        f"--secure-port={_PORT}",
        f"--cert-dir={cluster.folder / 'pki'}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=AlwaysAllow",
        f"--token-auth-file={cluster.folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={cluster.folder / 'accounts.key'}",
        f"--service-account-signing-key-file={cluster.folder / 'accounts.key'}",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _controllers(cluster: Cluster) -> list[str]:
    keys = [
        f"--service-account-private-key-file={cluster.folder / 'accounts.key'}",
        f"--root-ca-file={cluster.folder / 'pki' / 'apiserver.crt'}",
    ]
    return [str(cluster.binaries / "kube-controller-manager"), f"--kubeconfig={cluster.kubeconfig}", *keys, *_ALONE]


def _scheduler(cluster: Cluster) -> list[str]:
    return [str(cluster.binaries / "kube-scheduler"), f"--kubeconfig={cluster.kubeconfig}", *_ALONE]


def _node(cluster: Cluster) -> list[str]:
    state = cluster.folder / "kubelet"
    where = [f"--root-dir={state}", f"--cert-dir={state / 'pki'}", f"--node-ip={_ADDRESS}", f"--hostname-override={_NODE}"]
    return [str(cluster.binaries / "kubelet"), f"--config={cluster.folder / 'kubelet.json'}", f"--kubeconfig={cluster.kubeconfig}", *where]


def _podspace(cluster: Cluster) -> list[str]:
    flags = ["--network=bridge", f"--cgroup-driver={cluster.driver}", f"--registries-conf={cluster.registries_conf}"]
    return [sys.executable, "-m", "podspace.cli.main", "cri", f"--root={cluster.folder / 'node'}", f"--cri-socket={cluster.socket}", *flags]


_ALONE = ("--leader-elect=false", "--bind-address=127.0.0.1")
_COMMANDS = {
    "etcd": _etcd,
    "kube-apiserver": _apiserver,
    "podspace": _podspace,
    "kube-controller-manager": _controllers,
    "kube-scheduler": _scheduler,
    "kubelet": _node,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description="A cluster of one node that runs its Pods with podspace.")
    parser.add_argument("--binaries", type=Path, required=True, help=f"folder with {', '.join(PROGRAMS)}")
    parser.add_argument("--cgroup-driver", default="cgroupfs", choices=("cgroupfs", "systemd"))
    parser.add_argument("--image", action="append", default=["busybox:1.28"], help="pull this one before; may be repeated")
    parser.add_argument("--registries-conf", type=Path, help="where from (default: a registry with the demo's images)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podspace-cluster-")))
        conf = given.registries_conf or stack.enter_context(registry.running(folder / "registry")).registries_conf
        cluster = stack.enter_context(running(folder / "cluster", given.binaries, conf, images=given.image, driver=given.cgroup_driver))
        print(f"KUBECONFIG={cluster.kubeconfig} nsenter --net=/run/netns/{cluster.netns} kubectl get nodes", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()

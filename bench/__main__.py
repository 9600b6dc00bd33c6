"""``make bench``: podspace beside podman, and its CRI beside containerd's, in one run, with the same image from the same registry."""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from bench import api, containerd, cri, lens, podman, server
from bench.measure import Times, ratio
from tools import registry

MEBI = 1 << 20
PARTS = ("podman", "containerd", "lens", "api")
PODS = 50
SANDBOXES = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="timed repetitions of each action")
    parser.add_argument("--pods", type=int, default=PODS, help="Pods for the memory figures")
    parser.add_argument("--sandboxes", type=int, default=SANDBOXES, help="sandboxes asked for at once through the CRI")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="podspace-bench-"))
    try:
        with registry.running(folder / "registry") as mirror:
            if arguments.only in (None, "podman"):
                _beside_podman(folder, mirror, arguments.runs, arguments.pods)
            if arguments.only in (None, "lens"):
                _lens(folder, mirror, arguments.runs)
            if arguments.only in (None, "api"):
                api.run(folder / "api", mirror, lambda root, conf: server.Podspace(root, port=_free_port(), registries_conf=conf))
            if arguments.only in (None, "containerd"):
                _beside_containerd(folder, mirror, arguments.runs, arguments.sandboxes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _beside_podman(folder: Path, mirror: registry.Mirror, runs: int, pods: int) -> None:
    theirs = _podman(folder / "podman", mirror.host, runs)
    ours = server.Podspace(folder / "podspace", port=_free_port(), registries_conf=mirror.registries_conf)
    try:
        mine = server.times(ours, runs)
        for times in (*theirs.values(), *mine.values()):
            print(times)
        print("\nratios")
        print(ratio(mine["api"], theirs["play"], 1 / 4))
        print(ratio(mine["exec api"], theirs["exec"], 1 / 4))
        print(ratio(mine["exec cli"], theirs["exec"], 1 / 2))
        print(f"  kubectl apply to both running: {mine['kubectl'].median:.0f} ms (bar 300 ms)")
        _memory(ours, pods)
    finally:
        ours.close()


def _lens(folder: Path, mirror: registry.Mirror, runs: int) -> None:
    ours = server.Podspace(folder / "lens", port=_free_port(), registries_conf=mirror.registries_conf)
    try:
        lens.run(ours, runs)
    finally:
        ours.close()


def _beside_containerd(folder: Path, mirror: registry.Mirror, runs: int, sandboxes: int) -> None:
    """podspace with the OCI runtime it chooses here, on its bridge; for comparison with the other runtime, and with the peer's CNI."""

    def ours(runtime: str = "", *, network: str = "bridge") -> cri.Podspace:
        name = " ".join(filter(None, ("podspace", runtime, network.replace("bridge", ""))))
        flags = ["--network", network, "--cni-conf-dir", str(folder / "containerd" / "net.d")]
        flags += ["--oci-runtime", runtime] if runtime else []
        return cri.Podspace(folder / name.replace(" ", "-"), name=name, registries_conf=mirror.registries_conf, flags=tuple(flags))

    with cri.kubelets(
        lambda: containerd.Containerd(folder / "containerd", registry=mirror.host, pause=cri.PAUSE),
        ours,
        lambda: ours("runc"),
        lambda: ours(network="cni"),
    ) as (theirs, mine, *others):
        print(f"\nthrough the CRI (podspace: {mine.runtime.description})")
        cri.compare(theirs, [mine, *others], runs)
        cri.crowd(mine, sandboxes)


def _podman(folder: Path, address: str, runs: int) -> dict[str, Times]:
    """podman with runc: crun refuses a hybrid machine, and podman knows no way around it."""
    hybrid = Path("/sys/fs/cgroup/unified").exists()
    peer = podman.Podman(folder, runtime=shutil.which("runc" if hybrid else "crun") or "/usr/sbin/runc")
    peer.load(address)
    return peer.times(runs)


def _memory(ours: server.Podspace, pods: int) -> None:
    empty = ours.resident_bytes()
    for number in range(pods):
        name = f"many-{number}"
        ours.until_running(name, lambda: ours.request("POST", "/api/v1/namespaces/default/pods", server.manifest(name)))  # noqa: B023
    full, conmons = ours.resident_bytes(), server.conmon_bytes(ours.root)
    print(f"\nmemory with {pods} Pods of two containers")
    print(f"  server: {full / MEBI:.0f} MiB resident ({empty / MEBI:.0f} MiB without Pods; bar 120 MB)")
    print(f"  beside it, per container: {sum(conmons) / len(conmons) / MEBI:.2f} MiB (conmon, proportional set size; bar 3 MB)")
    print(f"  idle: {ours.idle_cpu(10) * 100:.2f} % of one core over 10 s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())

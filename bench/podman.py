"""The peer: podman kube play and podman exec, with storage of its own and the same image."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from bench import measure

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: bench
spec:
  shareProcessNamespace: true
  containers:
  - {name: a, image: "docker.io/library/busybox:1.28", command: [sleep, "3600"], imagePullPolicy: IfNotPresent}
  - {name: b, image: "docker.io/library/busybox:1.28", command: [sleep, "3600"], imagePullPolicy: IfNotPresent}
"""


class Podman:
    """podman below one folder, with its default network: a podspace Pod has one too. Where rlimits may not be raised it leaves them."""

    def __init__(self, folder: Path, *, runtime: str) -> None:
        folder.mkdir(parents=True)
        self._argv = ["podman", "--root", str(folder / "s"), "--runroot", str(folder / "r"), "--runtime", runtime]
        self._manifest = folder / "pod.yaml"
        self._manifest.write_text(MANIFEST)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        processes = min(30000, resource.getrlimit(resource.RLIMIT_NPROC)[1])
        configuration = folder / "containers.conf"
        configuration.write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
            f'[network]\nnetwork_config_dir = "{folder / "networks"}"\n'
        )
        self._environment = os.environ | {"CONTAINERS_CONF": str(configuration)}
        self.network: tuple[str, ...] = ()

    def run(self, *argv: str) -> None:
        if said := self._try(*argv):
            raise SystemExit(f"bench: podman {' '.join(argv)}: {said}")

    def _try(self, *argv: str) -> str:
        """What podman complains about, "" when it worked."""
        done = subprocess.run([*self._argv, *argv], capture_output=True, text=True, env=self._environment, check=False)
        return "" if done.returncode == 0 else done.stderr.strip()[:400] or f"exit {done.returncode}"

    def choose_network(self) -> None:
        """Its own bridge; on a machine where podman cannot make one, none at all, which flatters podman."""
        refused = self._try("kube", "play", str(self._manifest))
        self._try("kube", "down", str(self._manifest))
        if refused:
            self.network = ("--network", "none")
            print(f"podman cannot give its Pods a network here, so it plays them without: {refused.splitlines()[0]}", file=sys.stderr)

    def load(self, registry: str) -> None:
        """Pull the image from the loopback registry and give it its Docker name."""
        self.run("pull", "--tls-verify=false", f"{registry}/library/busybox:1.28")
        self.run("tag", f"{registry}/library/busybox:1.28", "docker.io/library/busybox:1.28")

    def play(self) -> None:
        self.run("kube", "play", *self.network, str(self._manifest))

    def down(self) -> None:
        self.run("kube", "down", str(self._manifest))

    def times(self, runs: int) -> dict[str, measure.Times]:
        self.choose_network()
        play = measure.repeat(f"podman kube play{' without a network' if self.network else ''}", self.play, runs=runs, after=self.down)
        self.play()
        executed = measure.repeat("podman exec true", lambda: self.run("exec", "bench-a", "true"), runs=runs)
        self.down()
        return {"play": play, "exec": executed}

"""The peer of the CRI: Debian's containerd with runc and the reference CNI plugins, everything of it in folders of this run.

Started by ``bench.cri`` and ended by it; the package's own service is neither used nor touched. Its network is a bridge with host-local
addresses out of 198.18.0.0/15, which RFC 2544 keeps for benchmarks.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from bench import cri

BRIDGE = "psbench0"
SUBNET = "198.18.77.0/24"
PLUGINS = Path("/usr/lib/cni")  # where Debian's containernetworking-plugins has them
START_SECONDS = 30.0
# The shims' sockets, the names of network namespaces and libcni's cache are here whatever the configuration says; they go with their Pods.
_FIXED_STATE = (Path("/run/containerd"), Path("/run/netns"), Path("/var/lib/cni"))


def cni_list() -> dict[str, object]:
    """The conflist: what a node gets from the plain bridge tutorials, and what podspace is measured with when it uses CNI."""
    address = {"type": "host-local", "ranges": [[{"subnet": SUBNET}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": True, "ipam": address}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "podspace-bench", "plugins": [bridge, portmap]}


class Containerd:
    """A containerd below one folder, which is small: sockets' paths are."""

    name = "containerd"

    def __init__(self, folder: Path, *, registry: str, pause: str) -> None:
        self.root = folder
        self._socket = folder / "c.sock"
        self._new_folders = [folder for folder in _FIXED_STATE if not folder.exists()]
        self._write(registry, pause)
        self._log = (folder / "containerd.log").open("w")
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            ["containerd", "--config", str(folder / "config.toml")], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        try:
            self._await_socket()
            self.client = cri.connect(self._socket)
        except BaseException:
            self.close()
            raise

    def _write(self, registry: str, pause: str) -> None:
        for name in ("net.d", "hosts/docker.io", "cni"):
            (self.root / name).mkdir(parents=True)
        conflist = cni_list()
        conflist["plugins"][0]["ipam"]["dataDir"] = str(self.root / "cni")  # type: ignore[index]
        (self.root / "net.d" / "10-bench.conflist").write_text(json.dumps(conflist))
        mirror = f'server = "http://{registry}"\n[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'
        (self.root / "hosts/docker.io/hosts.toml").write_text(mirror)
        (self.root / "config.toml").write_text(_configuration(self.root, self._socket, pause))

    def _await_socket(self) -> None:
        late = time.monotonic() + START_SECONDS
        while not self._socket.exists():
            if self.process.poll() is not None or time.monotonic() > late:
                raise SystemExit("bench: containerd does not start:\n" + (self.root / "containerd.log").read_text()[-4000:])
            time.sleep(0.05)

    @property
    def description(self) -> str:
        return "runc, CNI: bridge, host-local, portmap"

    def close(self) -> None:
        """End it, and take away what it and its plugins leave behind. Its Pods were removed before."""
        self.process.terminate()
        self.process.wait()
        self._log.close()
        for target in _mounts_below(self.root):
            subprocess.run(["umount", "-l", target], check=False)
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
        for folder in self._new_folders:
            _remove_empty(folder)


def _configuration(root: Path, socket: Path, pause: str) -> str:
    """``restrict_oom_score_adj``: without CAP_SYS_RESOURCE no sandbox would start otherwise."""
    runc = shutil.which("runc") or "/usr/sbin/runc"
    section = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{root}/root"
state = "{root}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[{section}]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [{section}.cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{root}/net.d"
  [{section}.registry]
    config_path = "{root}/hosts"
  [{section}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{section}.containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      Root = "{root}/runc"
"""


def _mounts_below(root: Path) -> list[str]:
    """Deepest first."""
    targets = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((target for target in targets if target.startswith(f"{root}/")), key=len, reverse=True)


def _remove_empty(folder: Path) -> None:
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(parent)

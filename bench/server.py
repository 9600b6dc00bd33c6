"""podspace, measured as its users see it: through the API, through kubectl, and as the ``podspace`` command."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import measure
from podspace.cli import client, flags, kubeconfig, remote

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def manifest(name: str) -> dict[str, Any]:
    """The same Pod that podman plays."""
    containers = [{"name": n, "image": "busybox:1.28", "command": ["sleep", "3600"], "imagePullPolicy": "IfNotPresent"} for n in "ab"]
    spec = {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 0, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def both_run(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return len(statuses) == 2 and all("running" in status["state"] for status in statuses)


class Podspace:
    """A server below one folder, and clients of it."""

    def __init__(self, root: Path, *, port: int, registries_conf: Path) -> None:
        self.root = root
        argv = [sys.executable, "-m", "podspace.cli.main", "serve", "--root", str(root), "--listen", f"127.0.0.1:{port}", "--stop-pods"]
        self._log = (root.parent / "serve.log").open("w")
        self._process = subprocess.Popen(
            [*argv, "--registries-conf", str(registries_conf)], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._process.stdout is not None
        if "ready\n" not in self._process.stdout:
            raise SystemExit("bench: the server did not start:\n" + (root.parent / "serve.log").read_text())
        self.environment = os.environ | {"KUBECONFIG": str(root / "etc" / "kubeconfig"), "HOME": str(root)}

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with self.client() as api:
            return api.request(method, path, body)

    def client(self) -> client.Client:
        """A client of our own; over TLS, as any program that is not on this machine's root account."""
        options = flags.Options("bench", [])
        options.add("kubeconfig", str(self.root / "etc" / "kubeconfig"))
        return client.Client(kubeconfig.load(options))

    def run(self, *argv: str) -> None:
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: {' '.join(argv)}: {done.stderr.strip()[:400]}")

    def until_running(self, name: str, act: Callable[[], object]) -> None:
        """Watch first, act, and return when the watch has shown both containers running."""
        seen = threading.Event()
        watching = threading.Event()

        def watch() -> None:
            path = f"/api/v1/namespaces/default/pods?watch=true&fieldSelector=metadata.name%3D{name}"
            response = self.client().stream(path)
            watching.set()
            for line in response.lines():
                if both_run(json.loads(line)["object"]):
                    seen.set()
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        watching.wait(10)
        act()
        if not seen.wait(30):
            raise SystemExit("bench: the Pod did not run within 30 s")

    def delete(self, name: str) -> None:
        self.run("kubectl", "delete", "pod", name, "--grace-period=0", "--force")
        self.run("kubectl", "wait", "--for=delete", f"pod/{name}", "--timeout=30s")

    def resident_bytes(self) -> int:
        return resident_bytes(self._process.pid)

    def idle_cpu(self, seconds: float) -> float:
        return idle_cpu(self._process.pid, seconds)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def idle_cpu(pid: int, seconds: float) -> float:
    """Share of one core a server uses while nothing happens."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE


def conmon_bytes(root: Path) -> list[int]:
    """Private memory of every conmon of this server, shared pages (the program's text) counted by share (Pss)."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text() == "conmon\n" and str(root) in (entry / "cmdline").read_text():
                pss = next(line for line in (entry / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
                found.append(int(pss.split()[1]) * 1024)
        except OSError:
            continue
    return found


def times(server: Podspace, runs: int) -> dict[str, measure.Times]:
    """All that is compared with podman, or with a bar in milliseconds."""
    names = iter(range(10_000))
    current = ""

    def start(how: Callable[[str], object]) -> None:
        nonlocal current
        current = name = f"bench-{next(names)}"
        server.until_running(name, lambda: how(name))

    def post(name: str) -> None:
        server.request("POST", "/api/v1/namespaces/default/pods", manifest(name))

    def apply(name: str) -> None:
        path = server.root / "pod.json"
        path.write_text(json.dumps(manifest(name)))
        server.run("kubectl", "apply", "-f", str(path))

    def remove() -> None:
        server.delete(current)

    found = {
        "api": measure.repeat("POST to both running (a watch sees it)", lambda: start(post), runs=runs, after=remove),
        "kubectl": measure.repeat("kubectl apply to both running", lambda: start(apply), runs=runs, after=remove),
    }
    start(post)
    whole = {
        "exec cli": ("podspace exec true (whole process)", podspace_command()),
        "exec kubectl": ("kubectl exec true (whole process)", ["kubectl"]),
    }
    found["exec api"] = measure.repeat("exec true through the API", lambda: _exec(server, current), runs=runs)
    for key, (name, command) in whole.items():
        argv = [*command, "exec", current, "-c", "a", "--", "true"]
        found[key] = measure.repeat(name, functools.partial(server.run, *argv), runs=runs)
    server.delete(current)
    return found


def podspace_command() -> list[str]:
    """The console script as installed beside the interpreter, else the module."""
    installed = Path(sys.executable).with_name("podspace")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "podspace.cli.main"]


def _exec(server: Podspace, name: str) -> None:
    """One request over the API, without the start of a process."""
    path = f"/api/v1/namespaces/default/pods/{name}/exec?command=true&container=a&stdout=true&stderr=true"
    with server.client() as api:
        status = remote.run(api, path, remote.Ends())
    if status.get("status") != "Success":
        raise SystemExit(f"bench: exec: {status}\n{(server.root.parent / 'serve.log').read_text()[-4000:]}")

"""A real ``podspace serve`` for a test: its own root, port and registry mirror, real kubectl, and a check that nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podspace.settings import Paths
from tests.support import leaks

READY_SECONDS = 90.0
REPO = Path(__file__).resolve().parents[2]


@dataclass(slots=True, kw_only=True)
class Server:
    """One server process and how to talk to it. ``stop``, ``kill`` and ``start`` may be called as a user would."""

    root: Path
    port: int
    registries_conf: Path | None = None
    flags: Sequence[str] = ()
    verb: str = "serve"
    process: subprocess.Popen[str] | None = None
    log: list[str] = field(default_factory=list)
    _reader: threading.Thread = field(default_factory=threading.Thread)

    @property
    def kubeconfig(self) -> Path:
        return self.root / "etc" / "kubeconfig"

    @property
    def paths(self) -> Paths:
        return Paths.under(self.root)

    def start(self) -> None:
        """Start and wait for ``ready``."""
        argv = [sys.executable, "-m", "podspace.cli.main", self.verb, "--root", str(self.root)]
        argv += ["--listen", f"127.0.0.1:{self.port}"] if self.verb == "serve" else []
        if self.registries_conf is not None:
            argv += ["--registries-conf", str(self.registries_conf)]
        environment = os.environ | {"PYTHONPATH": str(REPO / "src"), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*argv, *self.flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._collect, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        try:
            self._await_ready(self.process)
        except BaseException:
            self.kill()
            raise

    def _await_ready(self, process: subprocess.Popen[str]) -> None:
        timer = threading.Timer(READY_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "ready\n":
                    return
            process.wait()
            self._reader.join(5)
            raise AssertionError("serve did not get ready:\n" + "".join(self.log))
        finally:
            timer.cancel()

    def _collect(self, stream: Any) -> None:
        for line in stream:
            self.log.append(line)

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        return self._signal(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, as a crash."""
        return self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(90)
        self._reader.join(10)  # all has been read that was said
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.process = None
        return status

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.root)}

    def run(
        self, *argv: str, stdin: bytes | str | None = None, timeout: float = 150, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with KUBECONFIG set; text in and out."""
        data = stdin.decode() if isinstance(stdin, bytes) else stdin
        done = subprocess.run(argv, input=data, capture_output=True, text=True, timeout=timeout, env=self.environment, check=False)
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}\n--- server\n{''.join(self.log[-40:])}"
            )
        return done

    def kubectl(self, *argv: str, stdin: bytes | str | None = None, timeout: float = 150, check: bool = True) -> str:
        """Standard output of a kubectl command that must succeed."""
        return self.run("kubectl", *argv, stdin=stdin, timeout=timeout, check=check).stdout

    def podspace(self, *argv: str, stdin: bytes | str | None = None, timeout: float = 150, check: bool = True) -> str:
        """The same with our own command line."""
        return self.run(sys.executable, "-m", "podspace.cli.main", *argv, stdin=stdin, timeout=timeout, check=check).stdout

    def apply(self, manifest: str | Mapping[str, Any]) -> None:
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        self.kubectl("apply", "-f", "-", stdin=text)

    def wait_ready(self, name: str, *, seconds: int = 60) -> None:
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={seconds}s", timeout=seconds + 30)

    def wait_for(self, name: str, jsonpath: str, *, seconds: int = 60) -> dict[str, Any]:
        """``wait_for("p", "{.status.phase}=Succeeded")``; return the Pod as it was then."""
        said = self.kubectl(
            "wait", f"--for=jsonpath={jsonpath}", f"pod/{name}", f"--timeout={seconds}s", "-o", "json", timeout=seconds + 30
        )
        found: dict[str, Any] = json.loads(said)
        return found

    def pod(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
        return found

    def exec(self, name: str, container: str, *argv: str, check: bool = True) -> str:
        return self.kubectl("exec", name, "-c", container, "--", *argv, check=check)

    def delete_everything(self) -> None:
        self.kubectl("delete", "pods", "--all", "--all-namespaces", "--grace-period=1", check=False, timeout=300)


def free_port() -> int:
    """One below those that the kernel gives to whoever asks for any: a server that starts again must find its own free."""
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def running(root: Path, *, registries_conf: Path | None = None, flags: Sequence[str] = ()) -> Iterator[Server]:
    """A server for the length of a ``with`` block; afterwards its Pods are deleted and the machine is compared with before."""
    server = Server(root=root, port=free_port(), registries_conf=registries_conf, flags=flags)
    before = leaks.take(root, server.paths.instance)
    server.start()
    try:
        yield server
    finally:
        if server.process is None or server.process.poll() is not None:
            server.start()
        try:
            server.delete_everything()
        finally:
            status = server.stop()
    assert status == 0, "serve ended with an error:\n" + "".join(server.log[-40:])
    left = leaks.take(root, server.paths.instance).minus(before)
    assert not left, "left behind:\n" + "\n".join(left)

"""``make demo``: the Kubernetes page's example, played on this machine by real kubectl, in a server of its own that is gone afterwards.

Images come from Docker Hub if it answers, else from a registry on loopback that holds images made of Debian's packages.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools import registry
from tools.terminal import Terminal

REPO = Path(__file__).resolve().parents[1]
MANIFEST = REPO / "docs" / "examples" / "share-process-namespace.yaml"
PROMPT = r"/ # $"
HUB = ("registry-1.docker.io", 443)


def main() -> int:
    root = Path(tempfile.mkdtemp(prefix="podspace-demo-"))
    try:
        with _images(root) as registries_conf, _server(root, registries_conf) as environment:
            _play(environment)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    say("done: the server is stopped and nothing is left of it")
    return 0


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


@contextlib.contextmanager
def _images(root: Path) -> Iterator[Path | None]:
    if _hub_answers():
        say("images: Docker Hub")
        yield None
        return
    say("images: Docker Hub does not answer; using busybox and nginx made of Debian's packages, pulled from a registry on loopback")
    with registry.running(root / "registry") as mirror:
        yield mirror.registries_conf


def _hub_answers() -> bool:
    try:
        socket.create_connection(HUB, timeout=3).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _server(root: Path, registries_conf: Path | None) -> Iterator[dict[str, str]]:
    argv = [sys.executable, "-m", "podspace.cli.main", "serve", "--root", str(root), "--listen", f"127.0.0.1:{_free_port()}", "--stop-pods"]
    if registries_conf is not None:
        argv += ["--registries-conf", str(registries_conf)]
    log = (root / "serve.log").open("w")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        if "ready\n" not in process.stdout:
            raise SystemExit("demo: the server did not start:\n" + (root / "serve.log").read_text())
        yield {**os.environ, "KUBECONFIG": str(root / "etc" / "kubeconfig"), "HOME": str(root)}
    finally:
        process.terminate()
        process.wait()
        log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _play(environment: dict[str, str]) -> None:
    def kubectl(*argv: str) -> str:
        print(f"\n$ kubectl {' '.join(argv)}", flush=True)
        done = subprocess.run(["kubectl", *argv], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, end="", flush=True)
        return done.stdout

    kubectl("apply", "-f", str(MANIFEST.relative_to(REPO)) if Path.cwd() == REPO else str(MANIFEST))
    kubectl("wait", "--for=condition=Ready", "pod/nginx", "--timeout=120s")
    kubectl("get", "pods", "-o", "wide")
    _attach(environment)
    kubectl("logs", "nginx", "-c", "nginx")
    kubectl("exec", "nginx", "-c", "shell", "--", "ps", "ax")
    kubectl("delete", "pod", "nginx", "--grace-period=1")


def _attach(environment: dict[str, str]) -> None:
    print("\n$ kubectl attach -it nginx -c shell", flush=True)
    with Terminal(["kubectl", "attach", "-it", "nginx", "-c", "shell"], environment=environment) as terminal:

        def enter(line: str) -> str:
            terminal.type(line + "\r")
            terminal.read_until(re.escape(line) + r"\n")  # its echo: prompts from before do not count
            shown = terminal.read_until(PROMPT).removesuffix("/ # ")
            print(f"/ # {line}\n{shown}", end="", flush=True)
            return shown

        terminal.type("\r")
        terminal.read_until(PROMPT)
        before = enter("ps ax")
        master = re.search(r"^\s*(\d+) root .*nginx: master", before, re.MULTILINE)
        if master is None:
            raise SystemExit("demo: no nginx master process in the shared process namespace")
        enter(f"kill -HUP {master[1]}")
        enter("sleep 0.5")
        enter("ps ax")
        enter(f"head -n 6 /proc/{master[1]}/root/etc/nginx/nginx.conf")


if __name__ == "__main__":
    sys.exit(main())

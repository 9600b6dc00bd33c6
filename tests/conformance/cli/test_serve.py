"""``podspace serve`` as a program: what it prints, where it writes, how it refuses, and what it leaves running."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import leaks, server
from tests.support.server import Server

pytestmark = pytest.mark.root

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "a", "image": "busybox:1.28", "stdin": True, "command": ["sh", "-c", "sleep 3600"]}],
    },
}


def serve(*flags: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A serve that is expected to refuse."""
    argv = [sys.executable, "-m", "podspace.cli.main", "serve", *flags]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=environment)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that is not a warning of doctor or of the log."""
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("warn ") and " INFO " not in line]
    return line


def test_a_root_with_spaces_and_a_long_name_works(root: Path, registries_conf: Path) -> None:
    """Longer than sun_path, so every unix socket has to be reached some other way."""
    place = root / "a folder with spaces" / ("long" * 30) / "and more"
    with server.running(place, registries_conf=registries_conf) as running:
        running.apply(POD)
        running.wait_ready("p")
        assert running.podspace("exec", "-i", "p", "--", "cat", stdin="in and out") == "in and out"
        assert running.kubectl("exec", "p", "--", "echo", "hello") == "hello\n"
        assert running.podspace("--root", str(place), "get", "pods", "-o", "name") == "pod/p\n"


def test_the_kubeconfig_is_private_and_there_before_ready(root: Path, registries_conf: Path) -> None:
    file = root / "elsewhere" / "kube config"
    port = server.free_port()
    argv = [sys.executable, "-m", "podspace.cli.main", "serve", "--root", str(root / "r"), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen([*argv, "--kubeconfig", str(file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            nodes = subprocess.run(["kubectl", "--kubeconfig", str(file), "get", "nodes", "-o", "name"], capture_output=True, check=True)
            assert nodes.stdout.startswith(b"node/")
        finally:
            process.terminate()
        assert process.stdout.read() == ""
        assert process.wait(20) == 0


def test_what_cannot_be_listened_on_is_one_line(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(serve("--root", str(root / "r"), "--listen", f"127.0.0.1:{port}"))
    assert said == f"podspace serve: cannot listen on 127.0.0.1:{port}: Address already in use; choose another address with --listen"
    said = refusal(serve("--root", str(root / "r"), "--listen", "192.0.2.1:6443"))
    assert said.startswith("podspace serve: cannot listen on 192.0.2.1:6443: Cannot assign requested address")
    assert refusal(serve("--root", str(root / "r"), "--listen", "nonsense")) == (
        "error: --listen nonsense: expected HOST:PORT, such as 127.0.0.1:6443"
    )


def test_a_second_server_in_the_same_place_is_one_line(own_server: Server) -> None:
    assert own_server.process is not None
    said = refusal(serve("--root", str(own_server.root), "--listen", f"127.0.0.1:{server.free_port()}"))
    assert f"in use by another server (process {own_server.process.pid})" in said
    assert own_server.podspace("get", "nodes", "-o", "name").startswith("node/")


def test_other_mistakes_are_one_line(root: Path) -> None:
    place = ("--root", str(root / "r"), "--listen", f"127.0.0.1:{server.free_port()}")
    (root / "foreign").write_text("apiVersion: v1\nusers: []\n")
    said = refusal(serve(*place, "--kubeconfig", str(root / "foreign")))
    assert said.startswith(f"error: {root}/foreign holds a kubeconfig of something else")
    assert "cannot be the name of a node" in refusal(serve(*place, "--node-name", "Not One"))
    assert "unexpected argument: x" in serve(*place, "x").stderr
    assert not (root / "r" / "lib").exists()


def test_a_damaged_registries_conf_is_told_by_file_and_line(root: Path) -> None:
    file = root / "registries.conf"
    for text, place in (("\n\n[[registry]]\nprefix = 3\n", f"{file}:3: prefix"), ("x =\n", f"{file}: not TOML: Invalid value (at line 1")):
        file.write_text(text)
        done = serve("--root", str(root / "r"), "--registries-conf", str(file))
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("fail ")]
        assert line.startswith(f"fail  registries: {place}")
        checked = subprocess.run(
            [sys.executable, "-m", "podspace.cli.main", "doctor", "--root", str(root / "r"), "--registries-conf", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert line in checked.stdout.splitlines()


def test_serve_refuses_with_the_lines_of_doctor(root: Path) -> None:
    environment = {**os.environ, "PATH": str(root)}
    done = serve("--root", str(root / "r"), environment=environment)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("fail ")]
    assert [line.rpartition(" -> ")[2] for line in lines] == ["apt install crun", "apt install conmon"]


def test_nobody_else_than_root_may(root: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from podspace.cli import main, serve; os.setuid(65534); sys.argv[1:] = ['serve']; sys.exit(main.main())",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "fail  root: this is not root -> run it as root: sudo podspace ...")


def test_sigterm_leaves_the_pods_and_stop_pods_takes_them_along(root: Path, registries_conf: Path) -> None:
    with server.running(root, registries_conf=registries_conf) as running:
        running.apply(POD)
        running.wait_ready("p")
        before = running.pod("p")["status"]["containerStatuses"][0]["containerID"]
        assert running.stop() == 0
        left = leaks.take(root, running.paths.instance)
        assert any("sleep 3600" in process for process in left.processes)
        running.start()
        assert running.pod("p")["status"]["containerStatuses"][0]["containerID"] == before
        running.stop()
        running.flags = ("--stop-pods",)
        running.start()
        assert running.stop() == 0
        left = leaks.take(root, running.paths.instance)
        assert not any("sleep 3600" in process or "/pause" in process for process in left.processes)
        running.flags = ()


def test_a_chroot_is_refused(root: Path) -> None:
    """``exec`` enters mount namespaces, and would stand outside of the chroot there."""
    script = (
        "import os, sys; from podspace.cli import checks; from podspace.linux import syscalls;"
        "syscalls.unshare(syscalls.CLONE_NEWNS); syscalls.mount(None, '/', None, syscalls.MS_REC | syscalls.MS_PRIVATE);"
        "os.mkdir(sys.argv[1] + '/proc'); syscalls.mount('/proc', sys.argv[1] + '/proc', None, syscalls.MS_BIND); os.chroot(sys.argv[1]);"
        "print(json.dumps([checks.chroot().level, checks.chroot().text]))"
    )
    done = subprocess.run([sys.executable, "-c", "import json;" + script, str(root)], capture_output=True, text=True, check=True)
    level, text = json.loads(done.stdout)
    assert level == "fail"
    assert "this is a chroot" in text

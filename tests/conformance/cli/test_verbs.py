"""The README's commands with ``podspace`` in place of ``kubectl``, against a real server and real containers."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import REPO, Server
from tools.terminal import Terminal

pytestmark = pytest.mark.root

PAGE = REPO / "docs" / "examples" / "share-process-namespace.yaml"
BIG_BYTES = 200 * 1000 * 1000
SMALL_FILES = 2000


def pod(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "a", "image": "busybox:1.28", "command": list(command or ("sleep", "3600"))}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"test": "cli"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def command(server: Server, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return server.run(sys.executable, "-m", "podspace.cli.main", *argv, check=False, **options)


@pytest.fixture(scope="module")
def nginx(podspace: Server) -> Server:
    """The page's Pod, and ``alone``, which shares nothing."""
    assert podspace.podspace("apply", "-f", str(PAGE)) == "pod/nginx created\n"
    podspace.podspace("apply", "-f", "-", stdin=json.dumps(pod("alone")))
    podspace.wait_ready("nginx")
    podspace.wait_ready("alone")
    return podspace


def test_the_pages_commands_work_with_our_own_name(nginx: Server) -> None:
    wide = nginx.podspace("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split()[:6] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
    assert nginx.podspace("get", "pod", "nginx", "-o", "name") == "pod/nginx\n"
    assert json.loads(nginx.podspace("get", "pod", "nginx", "-o", "json"))["spec"]["shareProcessNamespace"] is True
    assert "shareProcessNamespace: true\n" in nginx.podspace("get", "pod", "nginx", "-o", "yaml")
    shown = nginx.podspace("exec", "nginx", "-c", "shell", "--", "ps", "ax")
    assert "/pause" in shown
    assert "nginx: master process" in shown
    described = nginx.podspace("describe", "pod", "nginx")
    assert {"Scheduled", "Pulled", "Created", "Started"} <= {line.split()[1] for line in described.splitlines() if len(line.split()) > 1}
    assert nginx.podspace("logs", "nginx", "-c", "nginx") == nginx.kubectl("logs", "nginx", "-c", "nginx")


def test_a_manifest_comes_from_a_url(podspace: Server, tmp_path: Path) -> None:
    (tmp_path / "pod.json").write_text(json.dumps(pod("fromurl")))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_address[1]}"
        assert podspace.podspace("apply", "-f", f"{url}/pod.json") == "pod/fromurl created\n"
        missing = command(podspace, "apply", "-f", f"{url}/nope.json")
        web.shutdown()
    assert (missing.returncode, missing.stderr) == (1, f"error: unable to read URL '{url}/nope.json', server reported 404 File not found\n")
    podspace.wait_ready("fromurl")
    assert podspace.podspace("delete", "pod", "fromurl") == 'pod "fromurl" deleted from default namespace\n'


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("exec", "nginx", "-c", "shell", "--", "sh", "-c", "exit 7"), 7, "command terminated with exit code 7"),
        (("exec", "nginx", "-c", "nope", "--", "true"), 1, "error: container nope is not valid for pod nginx out of: nginx, shell"),
        (("exec", "nope", "--", "true"), 1, 'Error from server (NotFound): pods "nope" not found'),
        (("exec", "nginx", "--frob", "--", "true"), 1, "error: unknown flag: --frob"),
        (("frobnicate",), 1, 'error: unknown command "frobnicate" for "podspace"'),
        (("get", "frobs"), 1, 'error: the server doesn\'t have a resource type "frobs"'),
        (("get", "pods", "--kubeconfig", "/nowhere/config"), 1, "error: kubeconfig /nowhere/config: No such file or directory"),
        (("apply", "-f", "/nowhere.yaml"), 1, 'error: the path "/nowhere.yaml" does not exist'),
        (("debug", "nginx", "--image=busybox:1.28", "--target=nope", "-q"), 1, 'error: target container "nope" not found in pod nginx'),
    ],
)
def test_failures_are_a_line_and_an_exit_code(nginx: Server, words: tuple[str, ...], code: int, message: str) -> None:
    done = command(nginx, *words)
    assert (done.returncode, done.stderr.splitlines()[0]) == (code, message)


def test_bad_yaml_is_one_line(podspace: Server) -> None:
    done = command(podspace, "apply", "-f", "-", stdin="a: [\n")
    assert done.stderr.count("\n") == 1
    assert "yaml: line 2: did not find expected node content" in done.stderr


def test_logs_that_are_followed_end_with_the_container(podspace: Server) -> None:
    podspace.apply(pod("ends", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done; exit 3", restartPolicy="Never"))
    podspace.wait_for("ends", "{.status.containerStatuses[0].state}")
    podspace.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].started}=true", "pod/ends", "--timeout=20s", check=False)
    assert podspace.podspace("logs", "-f", "ends", timeout=30) == "1\n2\n3\n"
    podspace.wait_for("ends", "{.status.phase}=Failed")
    assert "completed pod; current phase is Failed" in command(podspace, "exec", "ends", "--", "true").stderr


def _debug(server: Server, name: str, target: str) -> str:
    words = ["debug", "-i", "-q", name, "--image=busybox:1.28", f"--target={target}", "--", "sh"]
    return server.podspace(*words, stdin="ps ax; ls /proc/1/root/ >/dev/null && echo reached; exit\n", timeout=40)


def test_debug_sees_its_target_in_a_pod_that_shares_and_in_one_that_does_not(nginx: Server) -> None:
    shared = _debug(nginx, "nginx", "nginx")
    assert "/pause" in shared
    assert "nginx: master process" in shared
    alone = _debug(nginx, "alone", "a")
    assert alone.splitlines()[1].split()[:3] == ["1", "root", "sleep"]
    assert "reached" in alone
    statuses = nginx.pod("alone")["status"]["ephemeralContainerStatuses"]
    assert statuses[0]["name"].startswith("debugger-")


def test_debug_says_why_its_container_does_not_run(nginx: Server) -> None:
    words = [sys.executable, "-m", "podspace.cli.main", "debug", "-i", "-q", "alone", "--image=nosuch:1"]
    with subprocess.Popen(
        words, env=dict(nginx.environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stderr is not None
        killer = threading.Timer(30, waiting.kill)
        killer.start()
        said = waiting.stderr.readline()
        killer.cancel()
        waiting.terminate()
    assert said.startswith("Warning: container debugger-")
    assert "nosuch:1" in said


def test_thousands_of_small_files_are_copied_both_ways(nginx: Server, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "deep").mkdir(parents=True)
    for number in range(SMALL_FILES):
        (source / ("deep" if number % 2 else ".") / f"f{number}").write_text(str(number))
    (source / "f0").chmod(0o750)
    nginx.podspace("cp", str(source), "alone:/tmp/small")
    nginx.podspace("cp", "default/alone:/tmp/small", str(back))
    assert len([path for path in back.rglob("*") if path.is_file()]) == SMALL_FILES
    assert (back / "deep/f1999").read_text() == "1999"
    assert (back / "f0").stat().st_mode & 0o777 == 0o750


def test_a_big_file_is_copied_both_ways_unharmed(nginx: Server, tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    with (tmp_path / "big").open("wb") as file:
        for number in range(BIG_BYTES >> 20):
            file.write(number.to_bytes(4, "big") + block[4:])
    nginx.podspace("cp", str(tmp_path / "big"), "alone:/tmp/big", timeout=120)
    nginx.podspace("cp", "alone:/tmp/big", str(tmp_path / "back"), timeout=120)
    nginx.exec("alone", "a", "rm", "/tmp/big")
    with (tmp_path / "big").open("rb") as sent, (tmp_path / "back").open("rb") as got:
        assert hashlib.file_digest(sent, "sha256").digest() == hashlib.file_digest(got, "sha256").digest()


def test_what_a_container_sends_stays_in_the_destination(nginx: Server, tmp_path: Path) -> None:
    """The container's tar is its own: here it sends a path that leads up."""
    script = "#!/bin/sh\nmkdir -p /w/data/b; cd /w/data/b; echo evil > /w/evil; exec /bin/busybox tar cf - ../../evil data\n"
    nginx.podspace("apply", "-f", "-", stdin=json.dumps(pod("hostile")))
    nginx.wait_ready("hostile")
    nginx.kubectl("exec", "-i", "hostile", "--", "sh", "-c", "rm -f /bin/tar; cat > /bin/tar; chmod 755 /bin/tar", stdin=script)
    (tmp_path / "a/b").mkdir(parents=True)
    done = command(nginx, "cp", "hostile:../../evil", str(tmp_path / "a/b/got"))
    assert not (tmp_path / "evil").exists(), done
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], ["got"])
    nginx.podspace("delete", "pod", "hostile", "--now")


@pytest.fixture
def shell(nginx: Server) -> Iterator[Terminal]:
    """A user's shell on a terminal."""
    program = f'exec {sys.executable} -m podspace.cli.main "$@"'
    environment = {**nginx.environment, "PS1": "HOST> ", "ENV": "", "PYTHONPATH": str(REPO / "src")}
    with Terminal(["sh"], environment=environment) as terminal:
        terminal.read_until(r"HOST> $")
        terminal.type(f"podspace() {{ ( {program} ); }}\r")
        terminal.read_until(r"\nHOST> $")
        yield terminal


def _code(terminal: Terminal) -> str:
    """The last exit code, if the terminal is as it was: it edits lines and echoes."""
    terminal.read_until(r"HOST> $")
    terminal.type("echo code $?; stty -a | grep -o ' icanon\\| echo \\| isig'\r")
    shown = terminal.read_until(r"HOST> $")
    assert all(f" {mode}" in shown for mode in ("icanon", "echo", "isig")), shown
    return shown.partition("\ncode ")[2].split()[0]


def test_ctrl_c_ends_what_only_listens(shell: Terminal, nginx: Server) -> None:
    for words, shown in (("logs -f alone", r"logs -f alone\n"), ("get pods -w", r"nginx .*\n"), ("exec -i alone -- cat", r"-- cat\n")):
        shell.type(f"podspace {words}\r")
        shell.read_until(shown)
        time.sleep(2)  # it cannot be seen when Python has begun to run our code: before it a signal is Python's
        shell.type("\x03")
        assert _code(shell) == "130", words


def test_ctrl_c_goes_to_the_container_and_the_terminal_comes_back(shell: Terminal) -> None:
    shell.type("podspace exec -it nginx -c shell -- sh\r")
    shell.read_until(r"/ # $")
    shell.type("stty size\r")
    shell.read_until(r"\n40 120\n")
    shell.read_until(r"/ # $")
    shell.type("sh -c 'echo u\"\"p; sleep 100'\r")
    shell.read_until(r"\nup\n")
    shell.type("\x03")
    shell.read_until(r"/ # $")
    shell.type("exit 4\r")
    shell.read_until("command terminated with exit code 4")
    assert _code(shell) == "4"


def test_attach_joins_the_pods_shell(shell: Terminal) -> None:
    shell.type("podspace attach -it nginx -c shell\r")
    shell.read_until("try pressing enter")
    shell.type("\r")
    shell.read_until(r"/ # $")
    shell.type("echo $((6 * 7))\r")
    shell.read_until(r"\n42\n")
    shell.type("exit\r")
    shell.read_until("Session ended, resume using 'podspace attach nginx -c shell -i -t'")
    assert _code(shell) == "0"

"""exec and attach on a real Pod: WebSocket (today's kubectl), SPDY (1.20, and today's when told to), and our own command."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import leaks
from tests.support.server import Server
from tools.terminal import Terminal

pytestmark = pytest.mark.root

HUNDRED_MEGABYTES = 100 * 1000 * 1000


class Client:
    """One way to reach a container."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.argv = argv
        self.environment = environment

    def run(self, *argv: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*self.argv, *argv], input=stdin, capture_output=True, env=self.environment, timeout=120, check=False)


@pytest.fixture(scope="module")
def target(podspace: Server) -> Iterator[Server]:
    containers: list[dict[str, Any]] = [
        {"name": "plain", "image": "busybox:1.28", "command": ["sleep", "3600"]},
        {"name": "shell", "image": "busybox:1.28", "stdin": True, "tty": True},
        {
            "name": "reader",
            "image": "busybox:1.28",
            "stdin": True,
            "command": ["sh", "-c", "while read line; do echo got $line; done; sleep 3600"],
        },
    ]
    spec = {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 0, "containers": containers}
    podspace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t"}, "spec": spec})
    podspace.wait_ready("t")
    yield podspace
    podspace.kubectl("delete", "pod", "t", "--grace-period=0", "--force")


@pytest.fixture(params=["websocket", "spdy", "kubectl-1.20", "podspace"])
def client(request: pytest.FixtureRequest, target: Server, old_kubectl: Path) -> Client:
    environment = dict(target.environment)
    if request.param == "spdy":
        environment["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = "false"
    if request.param == "kubectl-1.20":
        return Client([str(old_kubectl)], environment)
    if request.param == "podspace":
        return Client([sys.executable, "-m", "podspace.cli.main"], environment)
    return Client(["kubectl"], environment)


def test_output_error_output_and_exit_code_come_back(client: Client) -> None:
    done = client.run("exec", "t", "-c", "plain", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.stdout == b"out\n"
    assert b"err\n" in done.stderr
    assert done.returncode == 3


def test_a_hundred_megabytes_pass_in_both_directions_unharmed(client: Client) -> None:
    block = os.urandom(1_000_000)
    data = block * (HUNDRED_MEGABYTES // len(block))
    done = client.run("exec", "-i", "t", "-c", "plain", "--", "cat", stdin=data)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_program_that_is_not_there_is_one_line_with_its_name(client: Client) -> None:
    done = client.run("exec", "t", "-c", "plain", "--", "/no/such/program")
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rb"error: Internal error occurred: .* OCI runtime exec failed: .*/no/such/program.*\n", done.stderr)


def test_a_terminal_has_the_clients_size_and_follows_it(client: Client) -> None:
    with Terminal(
        [*client.argv, "exec", "-it", "t", "-c", "plain", "--", "sh"], environment=client.environment, columns=91, rows=33
    ) as terminal:
        terminal.read_until(r"# $")
        terminal.type("stty size\r")
        terminal.read_until(r"33 91\n")
        terminal.resize(100, 44)
        os.kill(terminal.pid, signal.SIGWINCH)
        terminal.type("until stty size | grep '44 100'; do sleep 0.05; done\r")
        terminal.read_until(r"44 100\n")
        terminal.type("exit 5\r")
        assert terminal.wait_exit() == 5


def test_control_c_interrupts_and_control_d_ends(client: Client) -> None:
    with Terminal([*client.argv, "exec", "-it", "t", "-c", "plain", "--", "sh"], environment=client.environment) as terminal:
        terminal.read_until(r"# $")
        terminal.type("sh -c 'echo started; exec sleep 1000'\r")
        terminal.read_until(r"\nstarted\n")  # the child has the terminal now
        terminal.type("\x03")
        terminal.read_until(r"# $")
        terminal.type("echo alive\r")
        terminal.read_until(r"alive\n(?s:.*)# $")  # until there is a prompt the terminal keeps the end of input from the shell
        terminal.type("\x04")
        assert terminal.wait_exit() in (0, 130)


def test_a_second_attach_sees_the_same_terminal(client: Client) -> None:
    argv = [*client.argv, "attach", "-it", "t", "-c", "shell"]
    with Terminal(argv, environment=client.environment) as first, Terminal(argv, environment=client.environment) as second:
        first.type("\r")
        first.read_until(r"# $")
        second.type("\r")
        second.read_until(r"# $")
        first.type("echo from the $((1))st\r")
        second.read_until(r"from the 1st\n")
    with Terminal(argv, environment=client.environment) as third:
        third.type("echo still here\r")
        third.read_until(r"still here\n")


def test_attach_to_a_pipe_passes_input_on(client: Client) -> None:
    process = subprocess.Popen(
        [*client.argv, "attach", "-i", "t", "-c", "reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=client.environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got one\n"
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_an_abruptly_dropped_client_leaks_nothing(target: Server, client: Client) -> None:
    assert target.process is not None
    descriptors = Path(f"/proc/{target.process.pid}/fd")
    before, processes = len(list(descriptors.iterdir())), leaks.take(target.root, target.paths.instance).processes
    for _ in range(5):
        process = subprocess.Popen(
            [*client.argv, "exec", "-i", "t", "-c", "plain", "--", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=client.environment,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"x\n"
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    deadline = time.monotonic() + 30
    while leaks.take(target.root, target.paths.instance).processes - processes or len(list(descriptors.iterdir())) > before + 2:
        assert time.monotonic() < deadline, leaks.take(target.root, target.paths.instance).processes - processes
        time.sleep(0.1)


def test_logs_are_followed_until_the_client_goes(target: Server, client: Client) -> None:
    process = subprocess.Popen([*client.argv, "logs", "-f", "t", "-c", "reader"], stdout=subprocess.PIPE, env=client.environment)
    assert process.stdout is not None
    try:
        stamp = str(time.monotonic_ns())
        feeder = subprocess.Popen(
            ["kubectl", "attach", "-i", "t", "-c", "reader"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=target.environment
        )
        assert feeder.stdin is not None
        feeder.stdin.write(f"{stamp}\n".encode())
        feeder.stdin.flush()
        for line in process.stdout:
            if stamp.encode() in line:
                break
        else:
            pytest.fail("the line did not arrive")
        feeder.kill()
        feeder.wait()
        feeder.stdin.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

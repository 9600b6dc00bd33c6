"""exec and attach against the real API server, by local socket and by TLS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.machine import Machine


@pytest.fixture(scope="module", autouse=True)
def _pods(machine: Machine) -> None:
    machine.pod("web")
    machine.pod("two", "first", "second")
    machine.pod("chosen", "first", "second", annotations={"kubectl.kubernetes.io/default-container": "second"})
    machine.pod("done", phase="Succeeded")


def test_output_and_errors_come_on_their_own_streams(cli: Cli) -> None:
    said = cli("exec", "web", "--", "sh", "-c", "echo out; echo err >&2")
    assert (said.code, said.out, said.err) == (0, "out\n", "err\n")


def test_the_same_by_tls(cli: Cli, machine: Machine) -> None:
    assert cli("exec", "web", "--", "echo", "hello", kubeconfig=machine.folder / "tls").out == "hello\n"


def test_the_exit_code_is_the_commands(cli: Cli) -> None:
    said = cli("exec", "web", "--", "sh", "-c", "exit 7")
    assert (said.code, said.err) == (7, "command terminated with exit code 7\n")


def test_arguments_arrive_as_they_were(cli: Cli) -> None:
    assert cli("exec", "pod/web", "--", "printf", "[%s]", "a b", "--tail=5", "ü&+%", "").out == "[a b][--tail=5][ü&+%][]"


def test_the_first_container_is_the_default_and_that_is_said(cli: Cli, machine: Machine) -> None:
    said = cli("exec", "two", "--", "true")
    assert said.err == 'Defaulted container "first" out of: first, second\n'
    assert machine.backend.asked[-1] == ("two", "first", ["true"])


def test_the_annotated_container_needs_no_word(cli: Cli, machine: Machine) -> None:
    assert cli("exec", "chosen", "--", "true").err == ""
    assert machine.backend.asked[-1][1] == "second"


def test_a_container_is_chosen_with_c(cli: Cli, machine: Machine) -> None:
    assert cli("exec", "two", "-csecond", "--", "true").err == ""
    assert machine.backend.asked[-1][1] == "second"


def test_a_wrong_container_is_refused_with_the_right_ones(cli: Cli) -> None:
    assert cli("exec", "web", "-c", "zz", "--", "true").err == "error: container zz is not valid for pod web out of: main\n"


def test_a_missing_pod_is_the_servers_sentence(cli: Cli) -> None:
    said = cli("exec", "nope", "--", "id")
    assert (said.code, said.err) == (1, 'Error from server (NotFound): pods "nope" not found\n')


def test_a_finished_pod_is_refused(cli: Cli) -> None:
    assert cli("exec", "done", "--", "id").err == "error: cannot exec into a container in a completed pod; current phase is Succeeded\n"


def test_a_command_is_needed(cli: Cli) -> None:
    assert "you must specify at least one command" in cli("exec", "web").err
    assert "Use exec [POD] -- [COMMAND] instead" in cli("exec", "web", "ls").err


def test_a_program_that_is_not_there_is_an_error(cli: Cli) -> None:
    said = cli("exec", "web", "--", "no-such-program")
    assert said.code == 1
    assert "executable file not found in $PATH" in said.err


def test_a_big_output_arrives_whole(cli: Cli) -> None:
    assert len(cli("exec", "web", "--", "head", "-c", "3000000", "/dev/zero").out) == 3_000_000


def _process(machine: Machine, *words: str, **settings: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "KUBECONFIG": str(machine.kubeconfig)}
    return subprocess.Popen([sys.executable, "-m", "podspace.cli.main", *words], env=environment, **settings)  # type: ignore[call-overload,no-any-return]  # passed on


def test_standard_input_goes_through_unharmed_and_ends(machine: Machine, tmp_path: Path) -> None:
    data = os.urandom(5_000_000)
    (tmp_path / "in").write_bytes(data)
    with (
        open(tmp_path / "in", "rb") as stdin,
        _process(machine, "exec", "-i", "web", "--", "cat", stdin=stdin, stdout=subprocess.PIPE) as process,
    ):
        out, _ = process.communicate(timeout=30)
    assert out == data


def test_a_reader_that_goes_away_ends_the_command(machine: Machine) -> None:
    with _process(machine, "exec", "web", "--", "yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


def test_a_terminal_that_is_none_is_said_and_done_without(machine: Machine) -> None:
    pipe = subprocess.PIPE
    with _process(machine, "exec", "-it", "web", "--", "cat", stdin=pipe, stdout=pipe, stderr=pipe) as process:
        out, err = process.communicate(b"hi\n", timeout=60)
    assert out == b"hi\n"
    assert err == b"Unable to use a TTY - input is not a terminal or the right kind of file\n"


def test_a_terminal_is_raw_has_its_size_and_is_put_back(machine: Machine) -> None:
    import fcntl
    import struct
    import termios

    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 99, 0, 0))
    before = termios.tcgetattr(follower)
    command = "stty size; tty -s && echo tty; read line; echo got $line; exit 5"
    with _process(machine, "exec", "-it", "web", "--", "sh", "-c", command, stdin=follower, stdout=follower, stderr=follower) as process:
        seen = _read_until(leader, b"tty\r\n")
        os.write(leader, b"word\r")
        seen += _read_until(leader, b"exit code 5")
        assert process.wait(timeout=60) == 5
    assert b"31 99\r\n" in seen
    assert b"got word" in seen
    assert termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)


def _read_until(descriptor: int, mark: bytes) -> bytes:
    seen = b""
    timer = threading.Timer(10, os.write, (descriptor, b"\x04"))
    timer.start()
    while mark not in seen:
        seen += os.read(descriptor, 4096)
    timer.cancel()
    return seen


def test_attach_joins_and_ends_with_the_input(machine: Machine) -> None:
    pipe = subprocess.PIPE
    with _process(machine, "attach", "-i", "web", stdin=pipe, stdout=pipe, stderr=pipe) as process:
        out, err = process.communicate(b"one\ntwo\n", timeout=60)
    assert (process.returncode, out, err) == (0, b"one\ntwo\n", b"")


def test_exec_imports_nothing_heavy(machine: Machine) -> None:
    code = (
        "import sys; sys.argv = ['podspace', 'exec', 'web', '--', 'true']\n"
        "from podspace.cli import main\n"
        "assert main.main() == 0\n"
        "heavy = {'ssl', 'asyncio', 'yaml', 'rich', 'click', 'dataclasses', 'typing', 'http.client', 'pathlib', 'urllib', 'subprocess'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = {**os.environ, "KUBECONFIG": str(machine.kubeconfig)}
    assert (
        subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path}\n" + code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        == "[]\n"
    )

"""Command lines and answers of the programs that are driven."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from podspace import errors
from podspace.oci import conmon, runtimes

RUNTIME = runtimes.OciRuntime(Path("/usr/bin/crun"), Path("/run/x/crun"))
CALL = ["/usr/bin/crun"]
REQUEST = conmon.Request(
    identifier="c1",
    name="web",
    bundle=Path("/run/x/c1"),
    exit_dir=Path("/run/x/exits"),
    scratch=Path("/run/x/tmp"),
    pid_file=Path("/run/x/c1/pid"),
    conmon_pid_file=Path("/run/x/c1/conmon.pid"),
    runtime_log=Path("/run/x/c1/oci.log"),
    log_path=Path("/log/web/0.log"),
    stdin=False,
    stdin_once=False,
    terminal=False,
)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conmon, "program", lambda: Path("/usr/bin/conmon"))


@pytest.mark.usefixtures("words")
def test_conmon_is_told_where_everything_is() -> None:
    argv = conmon.argv(REQUEST, RUNTIME, CALL)
    assert argv[0] == "/usr/bin/conmon"
    assert {"--cid=c1", "--exit-dir=/run/x/exits", "--log-path=k8s-file:/log/web/0.log", "--runtime-arg=--root=/run/x/crun"} <= set(argv)
    assert not {"--stdin", "--terminal", "--leave-stdin-open"} & set(argv)
    assert "--log-path=none" in conmon.argv(replace(REQUEST, log_path=None), RUNTIME, CALL)


@pytest.mark.usefixtures("words")
def test_stdin_stays_open_unless_it_is_for_one_client() -> None:
    assert "--leave-stdin-open" in conmon.argv(replace(REQUEST, stdin=True), RUNTIME, CALL)
    assert "--leave-stdin-open" not in conmon.argv(replace(REQUEST, stdin=True, stdin_once=True), RUNTIME, CALL)


def test_the_exit_file_is_read_once_it_is_there(tmp_path: Path) -> None:
    assert conmon.exit_code(tmp_path, "c1") is None
    (tmp_path / "c1").write_text("137")
    ended = conmon.exit_code(tmp_path, "c1")
    assert ended is not None
    assert ended[0] == 137


def test_the_runtimes_last_error_is_found_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "oci.log"
    assert runtimes.reason(log) == ""
    log.write_text('{"msg":"mind the gap","level":"warning"}\nnoise\n{"msg":"executable file `x` not found","level":"error"}\n')
    assert runtimes.reason(log) == "executable file `x` not found"
    assert runtimes.words(RUNTIME.program, "no") == "crun: no"
    assert runtimes.words(RUNTIME.program, "") == ""


def test_an_unknown_runtime_is_said_with_what_to_install() -> None:
    with pytest.raises(errors.Unsupported, match="no-such-runtime is not on PATH; install it"):
        runtimes.find("no-such-runtime")


def test_exec_has_a_terminal_only_when_asked() -> None:
    paths = {"process_file": Path("/p"), "pid_file": Path("/pid"), "log": Path("/log")}
    plain = RUNTIME.exec_argv("c1", **paths, terminal=False, console_socket="")
    assert plain == [
        "/usr/bin/crun",
        "--root=/run/x/crun",
        "--log=/log",
        "--log-format=json",
        "exec",
        "--process=/p",
        "--pid-file=/pid",
        "c1",
    ]
    assert RUNTIME.exec_argv("c1", **paths, terminal=True, console_socket="/s")[-3:] == ["--tty", "--console-socket=/s", "c1"]


@pytest.mark.parametrize("script", ["exit 1", "echo garbage", "echo []", "echo '{}'"])
def test_a_runtime_that_fails_or_babbles_knows_no_container(tmp_path: Path, script: str) -> None:
    program = tmp_path / "odd"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    broken = runtimes.OciRuntime(program, tmp_path / "state")
    assert asyncio.run(broken.state("c1")) == ""


@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent/crun"])
def test_what_a_runtime_that_does_not_work_left_is_removed_all_the_same(tmp_path: Path, program: str) -> None:
    (tmp_path / "c1").mkdir()
    broken = runtimes.OciRuntime(Path(program), tmp_path)
    asyncio.run(broken.delete("c1"))
    assert not (tmp_path / "c1").exists()
    assert asyncio.run(broken.state("c1")) == ""


@pytest.mark.parametrize(
    ("name", "spec", "called"),
    [
        ("crun", "{}", False),
        ("crun", '{"hooks":{"poststop":[]}}', True),
        ("crun", None, False),
        ("runc", "{}", True),
    ],
)
def test_a_dead_container_is_forgotten_and_hooks_are_not(tmp_path: Path, name: str, spec: str | None, called: bool) -> None:
    program, state = tmp_path / name, tmp_path / "state"
    program.write_text(f"#!/bin/sh\necho called > {tmp_path}/called\nrm -r {state}/c1\n")
    program.chmod(0o755)
    (state / "c1").mkdir(parents=True)
    if spec is not None:
        (state / "c1" / "config.json").write_text(spec)
    asyncio.run(runtimes.OciRuntime(program, state).forget("c1"))
    assert ((tmp_path / "called").exists(), (state / "c1").exists()) == (called, False)


@pytest.fixture
def stuck_calls(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Calls of a runtime that never return: ours, and another server's."""
    calls = {}
    for name, words in {
        "create": [f"--root={tmp_path}", "create", "c1"],
        "created": [f"--root={tmp_path}", "create", "c2"],
        "exec": [f"--root={tmp_path}", "exec", "c1", "start"],
        "other": ["--root=/run/other/crun", "create", "c1"],
    }.items():
        calls[name] = subprocess.Popen(["sh", "-c", "echo; read never", "crun", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for call in calls.values():
        assert call.stdout is not None
        call.stdout.readline()
    yield calls
    for call in calls.values():
        call.kill()
        call.communicate()


def test_calls_a_former_server_left_are_ended_but_not_its_execs(tmp_path: Path, stuck_calls: dict[str, subprocess.Popen[bytes]]) -> None:
    asyncio.run(runtimes.OciRuntime(Path("crun"), tmp_path).settle(0.0, contained=[stuck_calls["created"].pid]))
    ended = {name: call.poll() for name, call in stuck_calls.items()}
    assert ended == {"create": -9, "created": None, "exec": None, "other": None}

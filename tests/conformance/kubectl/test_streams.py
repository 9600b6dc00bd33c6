"""exec, attach, run, debug, cp, port-forward and logs on Pods that run, end, or go away meanwhile: output, exit codes and words."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.kubectl.conftest import Kubectl
from tests.conformance.kubectl.pods import COUNTING, WEB, container, pod
from tests.support.server import Server, free_port
from tools.terminal import Terminal

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", autouse=True)
def running(podspace: Server) -> None:
    """Pods that every test may use: one with a log, one whose container has ended, one without an image, one that is not scheduled."""
    podspace.apply(pod("ma", container("c", "sh", "-c", COUNTING), container("d"), shareProcessNamespace=True))
    podspace.apply(pod("mb"))
    podspace.apply(pod("dead", container("c", "sh", "-c", "echo bye; exit 2"), container("live"), restartPolicy="Never"))
    podspace.apply(pod("noimg", {"name": "c", "image": "nosuch:1"}))
    podspace.apply(pod("unsched", nodeSelector={"a": "b"}))
    podspace.wait_ready("ma")
    podspace.wait_ready("mb")
    podspace.wait_for("dead", "{.status.containerStatuses[?(@.name=='c')].state.terminated.exitCode}=2")
    podspace.wait_for("noimg", "{.status.containerStatuses[0].state.waiting.reason}")


def _refused(kubectl: Kubectl, words: str) -> str:
    """WebSocket clients learn it after the upgrade, SPDY clients before: the words differ as they do with a cluster."""
    spoken = f"unable to upgrade connection: {words}"
    return f"error: {spoken}\n" if kubectl.is_old else f"error: Internal error occurred: {spoken}\n"


@pytest.mark.parametrize("name", ["dead", "noimg"])
def test_exec_and_attach_need_a_running_container(kubectl: Kubectl, name: str) -> None:
    said = kubectl.run("exec", name, "-c", "c", "--", "ls")
    assert (said.returncode, said.stderr) == (1, _refused(kubectl, 'container not found ("c")'))
    said = kubectl.run("attach", name, "-c", "c")
    assert said.returncode == 1
    assert said.stderr.endswith(_refused(kubectl, f"container c not found in pod {name}_default"))


def test_what_is_not_there_is_named(kubectl: Kubectl) -> None:
    assert "pod unsched does not have a host assigned" in kubectl("exec", "unsched", "--", "ls", status=1)
    assert "container zz is not valid for pod ma" in kubectl("exec", "ma", "-c", "zz", "--", "ls", status=1)
    assert kubectl("exec", "nope", "--", "ls", status=1) == 'Error from server (NotFound): pods "nope" not found\n'
    said = kubectl("exec", "mb", "--", "/no/such", status=1)
    assert said.count("error executing command in container") == 1
    assert re.search(r"error: Internal error occurred: error executing command in container: failed to exec in container: .*/no/such", said)


def test_fifty_at_once_each_get_their_own_output_and_exit_code(kubectl: Kubectl) -> None:
    def one(number: int) -> subprocess.CompletedProcess[str]:
        return kubectl.run("exec", "mb", "--", "sh", "-c", f"echo out {number}; exit {number % 5}")

    with ThreadPoolExecutor(50) as pool:
        for number, done in enumerate(pool.map(one, range(50))):
            assert (done.stdout, done.returncode) == (f"out {number}\n", number % 5), done.stderr


@pytest.mark.parametrize(
    ("script", "stdin", "output", "status"),
    [
        ("echo hi; exit 3", "", "hi\n", 3),
        ("echo fast", "", "fast\n", 0),
        ("cat; echo done", "input\n", "input\ndone\n", 0),
        ("sleep 0.5; echo late; exit 4", "", "late\n", 4),
    ],
)
def test_run_shows_the_output_and_the_exit_code_however_short_the_container_lives(
    kubectl: Kubectl, script: str, stdin: str, output: str, status: int
) -> None:
    name = "runs"
    flags = ("--restart=Never", "-i", "--rm", "--image=busybox:1.28")
    done = kubectl.run("run", name, *flags, "--", "sh", "-c", script, stdin=stdin)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout.startswith(output)
    assert f'pod "{name}" deleted' in done.stdout
    if "couldn't attach" in done.stderr or "Error attaching" in done.stderr:  # refused before the upgrade, or told after it
        assert f"container {name} not found in pod {name}_default" in done.stderr or "ended before it was attached to" in done.stderr


@pytest.mark.parametrize(
    ("target", "name", "first"),
    [("ma", "shared", "/pause"), ("mb", "own", "sleep 3600"), ("", "apart", "sh")],
    ids=["sharing", "of one container", "without target"],
)
def test_a_debug_container_sees_whom_it_targets(podspace: Server, target: str, name: str, first: str) -> None:
    aim = ["--target=c"] if target else []
    argv = ["kubectl", "debug", "-it", target or "mb", "--image=busybox:1.28", *aim, "-c", f"debug-{name}", "--", "sh"]
    with Terminal(argv, environment=podspace.environment) as terminal:
        terminal.read_until(r"# $")
        terminal.type("ps -o pid,args\r")
        shown = terminal.read_until(r"ps -o pid,args\n(?s:.*)# $")
        terminal.type("exit\r")
        assert terminal.wait_exit() == 0
    assert re.search(rf"^ +1 {re.escape(first)}$", shown, re.MULTILINE)


def test_a_copy_for_debugging_shares_processes(podspace: Server) -> None:
    podspace.kubectl("debug", "mb", "--image=busybox:1.28", "--copy-to=copied", "--share-processes", "-c", "dbg", "--", "sleep", "100")
    podspace.wait_ready("copied")
    assert "sleep 3600" in podspace.exec("copied", "dbg", "ps")
    podspace.kubectl("delete", "pod", "copied", "--now")


def test_files_are_copied_both_ways(kubectl: Kubectl, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "binary").write_bytes(bytes(range(256)) * 2000)
    kubectl("cp", str(folder), "mb:/tmp/folder")
    kubectl("cp", "mb:/tmp/folder", str(tmp_path / "back"))
    assert (tmp_path / "back" / "sub" / "binary").read_bytes() == (folder / "sub" / "binary").read_bytes()
    kubectl("exec", "mb", "--", "rm", "-r", "/tmp/folder")
    assert 'pods "nope" not found' in kubectl("cp", str(folder), "nope:/x", status=1)


@pytest.fixture
def web(kubectl: Kubectl, podspace: Server) -> Iterator[str]:
    listens = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    podspace.apply(pod("web", container("c", "sh", "-c", WEB, readinessProbe=listens)))
    podspace.wait_ready("web")
    yield "web"
    kubectl("delete", "pod", "web", "--now", "--ignore-not-found")


def _forwarding(kubectl: Kubectl, name: str, *ports: str) -> subprocess.Popen[str]:
    process = kubectl.start("port-forward", name, *ports)
    assert process.stdout is not None
    for line in process.stdout:
        if f"[::1]:{ports[-1].partition(':')[0]}" in line:
            return process
    raise AssertionError("port-forward ended")


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return str(answer.read().decode())


def test_ports_are_forwarded_and_a_closed_one_is_refused_by_name(kubectl: Kubectl, web: str) -> None:
    open_, closed = free_port(), free_port()
    process = _forwarding(kubectl, web, f"{open_}:8080", f"{closed}:81")
    try:
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(_page, [open_] * 20)) == {"a page\n"}
        with pytest.raises((urllib.error.URLError, OSError)):
            _page(closed)
    finally:
        process.terminate()
        said = process.communicate(timeout=10)[0]
    words = "failed to connect to localhost:81 inside the pod, IPv4: connection refused, IPv6: "
    assert f"an error occurred forwarding {closed} -> 81: error forwarding port 81 to pod web_default, uid " in said
    assert words in said


def test_what_hangs_on_a_pod_ends_cleanly_when_it_is_deleted(kubectl: Kubectl, web: str) -> None:
    port = free_port()
    forwarding = _forwarding(kubectl, web, f"{port}:8080")
    others = [kubectl.start("exec", web, "--", "sleep", "100"), kubectl.start("attach", web), kubectl.start("logs", "-f", web)]
    deadline = time.monotonic() + 20
    while "sleep 100" not in kubectl("exec", web, "--", "ps"):
        assert time.monotonic() < deadline
    kubectl("delete", "pod", web, "--grace-period=5")  # until then all have come to be attached
    executed, attached, followed = [(process.communicate(timeout=20)[0], process.returncode) for process in others]
    assert executed == ("command terminated with exit code 137\n", 137)
    assert attached[1] == 0
    assert followed == ("", 0)
    with pytest.raises((urllib.error.URLError, OSError)):
        _page(port)
    forwarding.terminate()
    said = forwarding.communicate(timeout=10)[0]
    assert "Traceback" not in said


def test_a_part_of_a_log(kubectl: Kubectl) -> None:
    assert len(kubectl("logs", "ma", "-c", "c", "--tail=2").splitlines()) == 2
    assert kubectl("logs", "ma", "-c", "c", "--limit-bytes=4") == "line"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d+\n", kubectl("logs", "ma", "-c", "c", "--tail=1", "--timestamps"))
    recent = kubectl("logs", "ma", "-c", "c", "--since=1s").splitlines()
    assert 1 <= len(recent) <= 10
    assert kubectl("logs", "ma", "-c", "c", "--since-time=2100-01-01T00:00:00Z") == ""
    assert "[pod/ma/c] line " in kubectl("logs", "ma", "--all-containers", "--prefix", "--tail=1")
    assert kubectl("logs", "-f", "dead", "-c", "c") == "bye\n"
    assert kubectl("logs", "unsched") == ""


def test_the_log_of_the_instance_before(kubectl: Kubectl, podspace: Server) -> None:
    podspace.apply(
        pod(
            "again",
            container("c", "sh", "-c", "test -e /v/x && sleep 3600; touch /v/x; echo first", volumeMounts=[_MOUNT]),
            volumes=[_VOLUME],
        )
    )
    podspace.wait_for("again", "{.status.containerStatuses[0].restartCount}=1")
    assert kubectl("logs", "again", "--previous") == "first\n"
    kubectl("delete", "pod", "again", "--now")
    assert 'previous terminated container "c" in pod "ma" not found' in kubectl("logs", "ma", "-c", "c", "--previous", status=1)
    deadline = time.monotonic() + 60
    while "is waiting to start: trying and failing to pull image" not in (said := kubectl.run("logs", "noimg").stderr):
        assert time.monotonic() < deadline, said  # while it is tried again, something else is said
        time.sleep(0.1)


_MOUNT = {"name": "v", "mountPath": "/v"}
_VOLUME = {"name": "v", "emptyDir": {}}

"""kill -9 of the server at a bad moment, then ``serve`` again: what ran goes on, what ended is known, nothing is left in the end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import leaks, pods
from tests.support.server import Server

pytestmark = pytest.mark.root

TALKS = "i=0; while :; do i=$((i+1)); read up idle < /proc/uptime; echo $i $up; sleep 0.2; done"


def pod(name: str, **commands: str) -> dict[str, Any]:
    containers = [
        {"name": n, "image": "busybox:1.28", "command": ["sh", "-c", command], "stdin": True, "tty": n == "tty"}
        for n, command in commands.items()
    ]
    spec = {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def host_processes(server: Server, name: str) -> dict[str, str]:
    """What the shell container sees: its view of PIDs must not change over a restart of the server."""
    listing = server.exec(name, "shell", "ps", "-o", "pid,args")
    rows = [line.strip().split(None, 1) for line in listing.splitlines()[1:]]
    return {pid: words for pid, words in rows if not words.startswith("ps ")}


def uptime() -> float:
    """Seconds, as a container sees them too."""
    return float(Path("/proc/uptime").read_text().split()[0])


def test_containers_outlive_the_server_and_are_found_again(own_server: Server) -> None:
    own_server.apply(pod("p", shell="exec sleep 7001", talker=TALKS, tty="exec sh"))
    own_server.wait_ready("p")
    before = pods.eventually(lambda: host_processes(own_server, "p"), lambda seen: {"sleep 7001", "sh"} <= set(seen.values()))
    status = own_server.pod("p")["status"]
    own_server.kill()
    away = uptime()
    time.sleep(1)  # the talker goes on talking meanwhile
    back = uptime()
    own_server.start()
    after = host_processes(own_server, "p")
    assert {pid: words for pid, words in before.items() if "sleep 0.2" not in words}.items() <= after.items()
    again = own_server.pod("p")["status"]
    assert [s["containerID"] for s in again["containerStatuses"]] == [s["containerID"] for s in status["containerStatuses"]]
    assert [s["restartCount"] for s in again["containerStatuses"]] == [0, 0, 0]
    said = [line.split() for line in own_server.kubectl("logs", "p", "-c", "talker").splitlines()]
    assert [int(number) for number, _ in said] == list(range(1, len(said) + 1))
    stamps = [float(stamp) for _, stamp in said]
    assert [stamp for stamp in stamps if away <= stamp <= back], "the log has a hole where the server was away"
    assert own_server.run("kubectl", "attach", "-i", "p", "-c", "tty", stdin="echo still $((40+2)); exit\n").stdout.count("still 42") == 1


def test_exits_that_nobody_saw_are_known_afterwards(own_server: Server) -> None:
    own_server.apply(pod("p", shell="sleep 4; echo last words; exit 42", stays="exec sleep 7002"))
    own_server.wait_ready("p")
    own_server.kill()
    time.sleep(5)
    own_server.start()
    own_server.wait_for("p", "{.status.containerStatuses[0].state.terminated.exitCode}=42")
    assert own_server.kubectl("logs", "p", "-c", "shell") == "last words\n"
    assert own_server.exec("p", "stays", "echo", "here") == "here\n"


def test_a_pod_deleted_while_the_server_is_away_is_gone_when_it_is_back(own_server: Server) -> None:
    own_server.apply(pod("p", shell="trap '' TERM; while :; do sleep 1; done"))
    own_server.wait_ready("p")
    own_server.kubectl("delete", "pod", "p", "--grace-period=2", "--wait=false")
    own_server.kill()
    own_server.start()
    own_server.kubectl("wait", "--for=delete", "pod/p", "--timeout=15s")


@pytest.mark.parametrize("delay_millis", [0, 15, 30, 45, 60, 80, 120])
def test_killed_while_a_pod_is_starting_it_starts_after_all(own_server: Server, delay_millis: int) -> None:
    manifest = pod("p", shell="exec sleep 7003", b="exec sleep 7004")
    assert own_server.process is not None
    killer = threading.Timer(delay_millis / 1000 + 0.08, own_server.process.kill)  # kubectl needs some 80 ms to send it
    killer.start()
    own_server.run("kubectl", "create", "--validate=false", "-f", "-", stdin=json.dumps(manifest), check=False)
    killer.join()
    own_server.kill()
    own_server.start()
    if own_server.run("kubectl", "get", "pod", "p", check=False).returncode != 0:
        own_server.apply(manifest)  # killed before it was acknowledged
    own_server.wait_ready("p")
    pods.eventually(
        lambda: sorted(words for words in host_processes(own_server, "p").values() if words != "/pause"),
        lambda commands: commands == ["sleep 7003", "sleep 7004"],
    )


def test_stopping_the_server_leaves_the_pods_and_stop_pods_takes_them_along(own_server: Server) -> None:
    own_server.apply(pod("p", shell="exec sleep 7005"))
    own_server.wait_ready("p")
    started = own_server.pod("p")["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert own_server.stop() == 0
    own_server.flags = ("--stop-pods",)
    own_server.start()
    assert own_server.pod("p")["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] == started
    assert own_server.stop() == 0
    assert not [p for p in leaks.take(own_server.root, own_server.paths.instance).processes if "sleep 7005" in p]
    own_server.flags = ()
    own_server.start()


def test_a_server_that_stops_takes_its_execs_along(own_server: Server) -> None:
    """A process that somebody runs in a container is that client's; nobody could reach it once the server is gone."""
    own_server.apply(pod("p", shell="exec sleep 7006"))
    own_server.wait_ready("p")
    command = ["exec", "p", "--", "sh", "-c", "echo up; exec sleep 7007"]
    programs = (["kubectl"], [sys.executable, "-m", "podspace.cli.main"])
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": own_server.environment}
    clients = [subprocess.Popen([*argv, *command], **pipes) for argv in programs * 3]
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
    assert own_server.stop() == 0
    assert not [line for line in own_server.log if "Traceback" in line or "never awaited" in line], "".join(own_server.log)
    for client in clients:
        client.communicate(timeout=30)
        assert client.returncode != 0
    own_server.start()
    pods.eventually(lambda: sorted(host_processes(own_server, "p").values()), lambda seen: seen == ["/pause", "sleep 7006"])

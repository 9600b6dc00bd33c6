"""The lens on a crowded Pod: `ps` as a whole process and beside `kubectl exec ... ps ax` on the server's side, `top` while it draws.

CPU on the server's side is that of the server and of every child it waited for: the OCI runtime, and the ps that ran in the container.
"""

from __future__ import annotations

import functools
import os
import pty
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from bench import measure
from bench.server import TICKS, Podspace, podspace_command

FEW, MANY = 200, 500
SECONDS = 15
PS_BAR_MILLIS, CPU_BAR, TOP_BAR_PERCENT = 250.0, 1 / 3, 5.0
CALLS = 40


def run(server: Podspace, runs: int) -> None:
    print(f"\nthe lens on a Pod of {FEW} processes")
    with _Crowd(server, "few", FEW):
        ps = measure.repeat("podspace ps (whole process)", lambda: server.run(*podspace_command(), "ps", "few"), runs=runs)
        print(f"{ps}   bar {PS_BAR_MILLIS:.0f} ms: {measure.verdict(ps.median <= PS_BAR_MILLIS)}")
        ours = _server_cpu(server, [*podspace_command(), "ps", "few"])
        theirs = _server_cpu(server, ["kubectl", "exec", "few", "-c", "a", "--", "ps", "ax"])
        share = ours / theirs
        print(f"  server's CPU: ps {ours:.1f} ms  /  kubectl exec ps ax {theirs:.1f} ms  =  {share:.2f}", end=" ")
        print(f"(bar {CPU_BAR:.2f}: {measure.verdict(share <= CPU_BAR)})")
    with _Crowd(server, "many", MANY):
        top, mine = _top(server, "many")
        whole = top + mine
        print(
            f"  podspace top of {MANY} processes for {SECONDS} s: {whole:.1f} % of one core ({top:.1f} the command, {mine:.1f} the server)",
            end=" ",
        )
        print(f"(bar {TOP_BAR_PERCENT:.0f} %: {measure.verdict(whole <= TOP_BAR_PERCENT)})")


class _Crowd:
    """A Pod of two containers that share their processes; there are this many of them."""

    def __init__(self, server: Podspace, name: str, processes: int) -> None:
        self._server = server
        self._name = name
        self._processes = processes

    def __enter__(self) -> None:
        script = f"i=0; while [ $i -lt {self._processes - 3} ]; do sleep 3600 & i=$((i+1)); done; wait"
        self._server.until_running(
            self._name, lambda: self._server.request("POST", "/api/v1/namespaces/default/pods", self._manifest(script))
        )
        path = f"/apis/lens.podspace.io/v1/namespaces/default/pods/{self._name}/processes"
        while len(self._server.request("GET", path)["processes"]) < self._processes:
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self._server.delete(self._name)

    def _manifest(self, script: str) -> dict[str, Any]:
        containers = [
            {"name": name, "image": "busybox:1.28", "command": command, "imagePullPolicy": "IfNotPresent"}
            for name, command in (("a", ["sh", "-c", script]), ("b", ["sleep", "3600"]))
        ]
        spec = {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 0, "containers": containers}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self._name}, "spec": spec}


def _server_cpu(server: Podspace, argv: list[str]) -> float:
    """Milliseconds a call. Several, for the kernel counts in ticks of ten."""
    call = functools.partial(server.run, *argv)
    call()
    before = _family_seconds(server.pid)
    for _ in range(CALLS):
        call()
    return (_family_seconds(server.pid) - before) / CALLS * 1000


def _family_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def _top(server: Podspace, name: str) -> tuple[float, float]:
    """Percent of one core: the command's, and the server's for it. It draws on a terminal of its own."""
    leader, terminal = pty.openpty()
    process = subprocess.Popen(
        [*podspace_command(), "top", name], stdin=terminal, stdout=terminal, stderr=terminal, env=server.environment, start_new_session=True
    )
    os.close(terminal)
    threading.Thread(target=_drain, args=(leader,), daemon=True).start()
    time.sleep(2)
    before = _family_seconds(process.pid), _family_seconds(server.pid)
    time.sleep(SECONDS)
    after = _family_seconds(process.pid), _family_seconds(server.pid)
    process.send_signal(signal.SIGTERM)
    process.wait()
    return (after[0] - before[0]) / SECONDS * 100, (after[1] - before[1]) / SECONDS * 100


def _drain(leader: int) -> None:
    try:
        while os.read(leader, 1 << 16):
            pass
    except OSError:  # nobody has the other end any more
        os.close(leader)

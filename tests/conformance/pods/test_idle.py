"""A server whose Pods do nothing does nothing either: what it waits for wakes it, it does not look."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support import pods
from tests.support.server import Server

PODS = 10
WINDOW_SECONDS = 3.0
WINDOWS = 6  # the node's lease falls into some of them, the end of the start into the first


def test_nothing_is_polled_while_nothing_happens(podspace: Server) -> None:
    """Looking at each Pod once a second would wake the loop thirty times in a window."""
    names = [f"idle-{number}" for number in range(PODS)]
    containers = [pods.box("sleep 3600", name) for name in ("a", "b")]
    pods.create(podspace, *(pods.pod(name, *containers, shareProcessNamespace=True) for name in names))
    podspace.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s", timeout=90)
    assert podspace.process is not None
    pid = podspace.process.pid
    measured: list[tuple[int, int]] = []
    for _ in range(WINDOWS):
        measured.append(_spent(pid))
        ticks, wakes = measured[-1]
        if ticks <= 1 and wakes < PODS:
            return
    raise AssertionError(f"(clock ticks, wake-ups) in {WINDOW_SECONDS} s: {measured}")


def _spent(pid: int) -> tuple[int, int]:
    """Clock ticks that the server used within a window, and how often its event loop was woken."""
    before = _counters(pid)
    time.sleep(WINDOW_SECONDS)
    after = _counters(pid)
    return after[0] - before[0], after[1] - before[1]


def _counters(pid: int) -> tuple[int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    wakes = next(line.split()[1] for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
    return int(fields[11]) + int(fields[12]), int(wakes)

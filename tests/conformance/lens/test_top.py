"""``podspace top`` in a real terminal."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conformance.lens import pods
from tests.conformance.lens.test_ps import seen
from tests.support.server import REPO, Server
from tools.terminal import Terminal

pytestmark = pytest.mark.root


def test_one_look_shows_who_uses_the_processor(podspace: Server) -> None:
    podspace.apply(pods.pod("top-once", pods.shell("busy", "while :; do :; done"), pods.shell("idle"), shareProcessNamespace=True))
    podspace.wait_ready("top-once")
    (first, *_) = json.loads(podspace.podspace("top", "top-once", "--once", "-o", "json"))["processes"]
    assert first["container"] == "busy"
    assert first["cpuPercent"] > 10
    podspace.kubectl("delete", "pod", "top-once", "--grace-period=1")


def test_a_key_signals_the_chosen_process(podspace: Server) -> None:
    podspace.apply(pods.page("top-live"))
    podspace.wait_ready("top-live")
    (shell,) = [entry for entry in seen(podspace, "top-live") if entry["container"] == "shell"]
    below = sum(entry["pid"] < shell["pid"] for entry in seen(podspace, "top-live"))
    environment = {**podspace.environment, "PYTHONPATH": str(REPO / "src")}
    argv = [sys.executable, "-m", "podspace.cli.main", "top", "top-live", "--sort", "pid"]
    with Terminal(argv, environment=environment) as terminal:
        terminal.read_until("nginx: master")
        terminal.type("j" * below + "x")
        terminal.read_until(f"KILL to shell {shell['pid']}: Delivered")
        terminal.type("q")
    podspace.wait_for("top-live", '{.status.containerStatuses[?(@.name=="shell")].restartCount}=1')

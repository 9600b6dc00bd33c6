"""``podspace signal`` on real Pods."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conformance.lens import pods
from tests.conformance.lens.test_ps import seen
from tests.support.server import Server

pytestmark = pytest.mark.root


def test_a_reload_needs_no_shell_and_no_number(podspace: Server) -> None:
    podspace.apply(pods.page("sig-page"))
    pods.wait_for_page(podspace, "sig-page")
    before = {entry["pid"]: entry["main"] for entry in seen(podspace, "sig-page") if entry["container"] == "nginx"}
    said = podspace.podspace("signal", "sig-page", "-c", "nginx", "HUP")
    (master,) = [pid for pid, main in before.items() if main]
    assert said == f"HUP to nginx {master} (nginx): sent\n"
    answer = json.loads(podspace.podspace("signal", "sig-page", "-c", "nginx", "TERM", "--process", str(master), "-o", "json"))
    (outcome,) = [entry["outcome"] for entry in answer["status"]["processes"]]
    assert outcome in ("Delivered", "Blocked")  # nginx blocks signals while it reloads
    podspace.wait_for("sig-page", '{.status.containerStatuses[?(@.name=="nginx")].restartCount}=1')


@pytest.mark.parametrize(
    "more",
    [
        ("-c", "shell", "--process", "1"),
        (
            "-c",
            "/pause",
        ),
    ],
)
def test_pause_is_refused(podspace: Server, more: tuple[str, ...]) -> None:
    podspace.apply(pods.pod("sig-pause", pods.shell("shell"), shareProcessNamespace=True))
    podspace.wait_ready("sig-pause")
    done = podspace.run(sys.executable, "-m", "podspace.cli.main", "signal", "sig-pause", "KILL", *more, check=False)
    assert done.returncode == 1
    assert "this is /pause" in done.stderr


def test_a_first_process_without_a_handler_is_said_to_ignore(podspace: Server) -> None:
    podspace.apply(pods.pod("sig-init", pods.shell("one")))
    podspace.wait_ready("sig-init")
    assert "ignored: the process has no handler" in podspace.podspace("signal", "sig-init", "USR1")

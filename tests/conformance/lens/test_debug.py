"""``podspace debug --target``: the container is let in, or it is said why not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.conformance.lens import pods
from tests.support.server import Server

pytestmark = pytest.mark.root

LOOK = 'id -u; id -g; cat "$TARGET_ROOT/etc/hostname" >/dev/null 2>&1 && echo seen || echo denied'


@pytest.fixture(scope="module")
def debugged(podspace: Server) -> Iterator[Server]:
    user = pods.shell("user", securityContext={"runAsUser": 1000, "runAsGroup": 2000})
    strong = pods.shell("strong", securityContext={"capabilities": {"add": ["NET_ADMIN"]}})
    podspace.apply(pods.pod("apart", user, strong))
    podspace.apply(pods.pod("shared", user, strong, shareProcessNamespace=True))
    for name in ("apart", "shared"):
        podspace.wait_ready(name)
    yield podspace
    podspace.kubectl("delete", "pod", "apart", "shared", "--grace-period=1", "--wait=false")


def debug(server: Server, pod: str, name: str, target: str, *more: str) -> tuple[list[str], str]:
    """What the container printed, and what the command said."""
    words = ("debug", pod, "--image=busybox:1.28", "-c", name, "--target", target, *more, "--", "sh", "-c", LOOK)
    said = server.run(sys.executable, "-m", "podspace.cli.main", *words).stderr
    server.wait_for(pod, f'{{.status.ephemeralContainerStatuses[?(@.name=="{name}")].state.terminated.exitCode}}=0')
    return server.kubectl("logs", pod, "-c", name).split(), said


def capabilities(server: Server, pod: str, name: str) -> list[str]:
    spec = json.loads(server.kubectl("get", "pod", pod, "-o", "json"))["spec"]
    container = next(each for each in spec["ephemeralContainers"] if each["name"] == name)
    return list(((container.get("securityContext") or {}).get("capabilities") or {}).get("add") or [])


@pytest.mark.parametrize("pod", ["apart", "shared"])
def test_a_target_is_seen_into(debugged: Server, pod: str) -> None:
    for target in ("user", "strong"):
        assert debug(debugged, pod, f"plain-{target}", target)[0] == ["0", "0", "seen"]


@pytest.mark.parametrize("pod", ["apart", "shared"])
def test_as_the_target_no_right_is_needed_that_the_target_has_not(debugged: Server, pod: str) -> None:
    assert debug(debugged, pod, "as-user", "user", "--as-target")[0] == ["1000", "2000", "seen"]
    assert debug(debugged, pod, "as-strong", "strong", "--as-target")[0] == ["0", "0", "seen"]
    assert capabilities(debugged, pod, "as-user") == []
    assert "NET_ADMIN" in capabilities(debugged, pod, "as-strong")
    assert "SYS_PTRACE" not in capabilities(debugged, pod, "as-strong")


def test_a_look_that_will_be_denied_is_told_before(debugged: Server) -> None:
    printed, said = debug(debugged, "apart", "weak", "user", "--profile=baseline")
    assert printed[-1] == "denied"
    assert "Warning: user's files and environment will be denied: another uid (0, not 1000) and no SYS_PTRACE" in said.splitlines()
    printed, said = debug(debugged, "shared", "weak", "strong", "--profile=baseline")
    assert printed[-1] == "denied"
    assert "the process has capabilities this one lacks (NET_ADMIN) and there is no SYS_PTRACE" in said


def test_what_was_made_is_printed_when_asked_for(debugged: Server) -> None:
    words = ("debug", "apart", "--image=busybox:1.28", "--target=user", "--as-target", "-c", "told", "--", "sleep", "1")
    made = json.loads(debugged.podspace(*words[:-3], "-o", "json", *words[-3:]))
    assert made["kind"] == "PodDebug"
    assert made["container"]["securityContext"]["runAsUser"] == 1000
    assert made["container"]["env"] == [{"name": "TARGET_ROOT", "value": "/proc/1/root"}]


def test_what_cannot_be_is_refused(debugged: Server) -> None:
    command = (sys.executable, "-m", "podspace.cli.main", "debug", "apart", "--image=busybox:1.28", "--as-target")
    assert "--as-target needs --target" in debugged.run(*command, check=False).stderr

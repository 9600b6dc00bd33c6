"""``podspace why`` on real Pods that do not run."""

from __future__ import annotations

import sys

import pytest

from tests.conformance.lens import pods
from tests.support.server import Server

pytestmark = pytest.mark.root


def why(server: Server, name: str, code: int) -> str:
    done = server.run(sys.executable, "-m", "podspace.cli.main", "why", name, "-o", "wide", check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_the_cause_is_told_in_the_words_of_whoever_refused(podspace: Server) -> None:
    podspace.apply(pods.pod("why-pull", {"name": "one", "image": "busybox:no-such-tag"}))
    podspace.wait_for("why-pull", "{.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff")
    assert "its image busybox:no-such-tag cannot be had" in why(podspace, "why-pull", 3)
    podspace.apply(pods.pod("why-crash", pods.shell("one", "echo bad luck >&2; exit 7"), shareProcessNamespace=True))
    podspace.wait_for("why-crash", "{.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    text = why(podspace, "why-crash", 3)
    assert "exit code 7" in text
    assert '"bad luck"' in text
    podspace.apply(pods.pod("why-big", pods.shell("one"), nodeSelector={"no": "such"}))
    podspace.kubectl("wait", "--for=condition=PodScheduled=False", "pod/why-big", "--timeout=20s")
    assert "no node takes it" in why(podspace, "why-big", 3)
    podspace.apply(pods.pod("why-good", pods.shell("one")))
    podspace.wait_ready("why-good")
    assert "every container is ready" in why(podspace, "why-good", 0)

"""``podspace audit``: what is computed, of manifests and of what runs, is what trying comes to."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.lens import pods
from tests.support.server import Server

pytestmark = pytest.mark.root

CAPABILITIES = ("SYS_PTRACE", "DAC_READ_SEARCH", "NET_ADMIN", "KILL", "DAC_OVERRIDE", "SYS_ADMIN")
DROPPED = ("ALL", "KILL", "DAC_OVERRIDE", "CHOWN", "SETUID")
CONTAINERS = 4
SHARING = {
    "shared": {"shareProcessNamespace": True},
    "host": {"hostPID": True},
    "apart": {},
    "userns": {"shareProcessNamespace": True, "hostUsers": False},
}


def random_pod(name: str, seed: int, sharing: str) -> dict[str, Any]:
    dice = random.Random(seed)
    return pods.pod(name, *(_container(f"c{number}", dice) for number in range(CONTAINERS)), **SHARING[sharing])


def _container(name: str, dice: random.Random) -> dict[str, Any]:
    security: dict[str, Any] = {}
    if dice.random() < 0.6:
        security["runAsUser"] = dice.choice([0, 1000, 1001])
    if dice.random() < 0.3:
        security["runAsGroup"] = dice.choice([0, 1000])
    if dice.random() < 0.2:
        security["privileged"] = True
    else:
        add = dice.sample(CAPABILITIES, dice.choice([0, 0, 1, 2]))
        drop = dice.sample(DROPPED, dice.choice([0, 0, 1, 2]))
        security["capabilities"] = {"add": add, "drop": [each for each in drop if each not in add]}
    return pods.shell(name, securityContext=security)


def pairs(rows: list[dict[str, Any]], key: str) -> dict[tuple[str, str], dict[str, bool]]:
    return {(row["actor"], row["target"]): row[key] for row in rows}


@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("seed", range(4))
def test_the_computed_matrix_is_the_tried_one(podspace: Server, tmp_path: Path, sharing: str, seed: int) -> None:
    """12 pairs a Pod and /pause as a target of each: 16 combinations for each of 16 Pods."""
    name = f"random-{sharing}-{seed}"
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(random_pod(name, seed * 7 + len(sharing), sharing)))
    podspace.kubectl("apply", "-f", str(manifest))
    podspace.wait_ready(name)
    rows = json.loads(podspace.podspace("audit", name, "-o", "json"))["status"]["matrix"]
    tried = pairs(rows, "tried")
    assert len(tried) == CONTAINERS * CONTAINERS
    assert pairs(rows, "computed") == tried
    before = json.loads(podspace.podspace("audit", "-f", str(manifest), "-o", "json"))["status"]["matrix"]
    assert pairs(before, "computed") == {pair: verdict for pair, verdict in tried.items() if "/pause" not in pair}
    podspace.kubectl("delete", "pod", name, "--grace-period=1", "--wait=false")


def test_a_seccomp_profile_of_ones_own_is_reckoned_with_and_tried_under(podspace: Server) -> None:
    podspace.paths.seccomp.mkdir(exist_ok=True)
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}
    (podspace.paths.seccomp / "no-trace.json").write_text(json.dumps(profile))
    filtered = {"seccompProfile": {"type": "Localhost", "localhostProfile": "no-trace.json"}, "capabilities": {"add": ["SYS_PTRACE"]}}
    pod = pods.pod("audit-filter", pods.shell("a", securityContext=filtered), pods.shell("b"), shareProcessNamespace=True)
    podspace.apply(pod)
    podspace.wait_ready("audit-filter")
    rows = json.loads(podspace.podspace("audit", "audit-filter", "-o", "json"))["status"]["matrix"]
    assert pairs(rows, "computed") == pairs(rows, "tried")
    row = next(row for row in rows if (row["actor"], row["target"]) == ("a", "b"))
    assert row["computed"]["files"]
    assert row["reasons"] == {"trace": "its seccomp profile refuses ptrace"}
    (podspace.root / "filter.json").write_text(json.dumps(pod))
    before = json.loads(podspace.podspace("audit", "-f", str(podspace.root / "filter.json"), "-o", "json"))["status"]["matrix"]
    assert next(row for row in before if row["actor"] == "a")["reasons"] == row["reasons"]


def test_a_process_that_may_not_be_dumped_is_closed_to_its_own_uid_and_to_no_lens(podspace: Server) -> None:
    """Who may not read the program it runs is not dumpable, as after prctl(PR_SET_DUMPABLE, 0)."""
    closed = "cp /bin/busybox /tmp/sleep; chmod 111 /tmp/sleep; exec /tmp/sleep 3600"
    security = {"runAsUser": 1000}
    containers = (pods.shell("closed", closed, securityContext=security), pods.shell("open", securityContext=security))
    podspace.apply(pods.pod("audit-closed", *containers, shareProcessNamespace=True))
    podspace.wait_ready("audit-closed")
    podspace.exec("audit-closed", "open", "sh", "-c", "while ! ps ax | grep -q '[/]tmp/sleep'; do :; done")
    rows = json.loads(podspace.podspace("audit", "audit-closed", "-o", "json"))["status"]["matrix"]
    assert pairs(rows, "computed") == pairs(rows, "tried")
    row = next(row for row in rows if (row["actor"], row["target"]) == ("open", "closed"))
    assert row["reasons"]["files"] == "the process is not dumpable and there is no SYS_PTRACE"
    seen = json.loads(podspace.podspace("ps", "audit-closed", "-c", "closed", "-o", "json"))["processes"]
    assert [(entry["command"][0], entry["uid"]) for entry in seen] == [("/tmp/sleep", 1000)]
    assert "/tmp/sleep" in podspace.podspace("files", "audit-closed", "-c", "closed", "diff")


def test_the_probe_changes_nothing_and_is_not_seen(podspace: Server) -> None:
    podspace.apply(pods.page("audit-page"))
    pods.wait_for_page(podspace, "audit-page")
    before = json.loads(podspace.podspace("ps", "audit-page", "-o", "json"))["processes"]
    podspace.podspace("audit", "audit-page")
    after = json.loads(podspace.podspace("ps", "audit-page", "-o", "json"))["processes"]
    shown = [[(each["hostPid"], each["state"]) for each in seen] for seen in (before, after)]
    assert shown[0] == shown[1]


def test_apply_warns_of_what_it_finds(podspace: Server) -> None:
    secret = pods.shell("db", env=[{"name": "DB_PASSWORD", "value": "hunter2"}])
    manifest = json.dumps(pods.pod("audit-warn", secret, pods.shell("web"), shareProcessNamespace=True))
    done = podspace.run("kubectl", "apply", "-f", "-", stdin=manifest)
    assert "Warning: spec.containers[0].env[0]: web can read the secret variable DB_PASSWORD of db" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_pipeline_fails_on_what_it_must(podspace: Server, tmp_path: Path) -> None:
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(pods.pod("ci", pods.shell("a"), pods.shell("b"), shareProcessNamespace=True)))
    for limit, code in (("high", 0), ("medium", 3)):
        words = ("audit", "-f", str(manifest), "--fail-on", limit)
        for more in ((), ("--kubeconfig", "/nonexistent")):  # with a server, and without
            done = podspace.run(sys.executable, "-m", "podspace.cli.main", *words, *more, check=False)
            assert done.returncode == code, done.stdout + done.stderr

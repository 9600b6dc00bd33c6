"""Logs of running containers are rotated, compressed and bounded, and whoever follows one misses nothing."""

from __future__ import annotations

import gzip
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import pods
from tests.support.pods import box, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

LINES = 2000
LINE = f"line-$i-{'x' * 40}"
TALK = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo {LINE}; [ $((i % 20)) -ne 0 ] || usleep 20000; done; exec sleep 7800"


def folder(node: Server, name: str) -> Path:
    uid = node.pod(name)["metadata"]["uid"]
    return node.paths.log / f"default_{name}_{uid}" / "c"


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it is just being rotated
        return 0


def numbers(text: str) -> list[int]:
    return [int(line.split("line-")[1].split("-")[0]) for line in text.splitlines() if "line-" in line]


def test_a_log_is_bounded_and_a_follower_sees_every_line(tuned: Server) -> None:
    pods.create(tuned, pod("talks", box(f"echo line-0-; until [ -e /go ]; do usleep 10000; done; {TALK}")))
    tuned.wait_ready("talks")
    argv = ["timeout", "60", "kubectl", "logs", "-f", "talks"]
    follower = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=dict(tuned.environment))
    assert follower.stdout is not None
    assert numbers(follower.stdout.readline()) == [0]  # it follows
    tuned.exec("talks", "c", "touch", "/go")
    seen = [numbers(follower.stdout.readline())[0] for _ in range(LINES)]
    assert seen == list(range(1, LINES + 1))
    tuned.kubectl("delete", "pod", "talks", "--wait=false")
    follower.wait(60)
    follower.stdout.close()


def test_what_is_rotated_away_is_compressed_and_the_oldest_goes(tuned: Server) -> None:
    pods.create(tuned, pod("talks-on", box(TALK)))
    tuned.wait_ready("talks-on")
    home = folder(tuned, "talks-on")
    until = time.monotonic() + 60
    while not list(home.glob("0.log.*.gz")) or size(home / "0.log") > 40 << 10:
        assert time.monotonic() < until, sorted(home.iterdir())
        time.sleep(0.1)
    files = sorted(home.iterdir())
    assert len(files) <= 6, files
    old = [path for path in files if path.name.endswith(".gz")][-1]  # the newest stays longest
    assert b" stdout F line-" in gzip.decompress(old.read_bytes())
    while not (said := numbers(tuned.kubectl("logs", "talks-on"))):  # it may just have been rotated
        assert time.monotonic() < until
    assert said == list(range(said[0], said[-1] + 1))
    while not (last := numbers(tuned.kubectl("logs", "talks-on", "--tail=2"))):
        assert time.monotonic() < until
    assert last[-1] >= said[-1]
    tuned.kubectl("delete", "pod", "talks-on", "--now")
    assert not home.exists()

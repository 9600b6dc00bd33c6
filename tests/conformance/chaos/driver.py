"""A seeded storm of everything that happens to Pods and their server; called by ``test_chaos``.

Each step is one random action, done with real kubectl or with a signal from the host. After some of them the world must come to rest:
``settle`` waits until what the API says is what runs. The log of actions (``story``) is what a failure is understood with.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from typing import Any

from tests.conformance.chaos import manifests, truth
from tests.support.server import Server

SETTLE_SECONDS = 180.0
NAMES = [f"p{number}" for number in range(5)]


class Storm:
    """One run. Not thread safe; background clients are plain processes."""

    def __init__(self, server: Server, seed: int, big_images: list[str]) -> None:
        self.server = server
        self.rng = random.Random(seed)
        self.big_images = big_images
        self.story: list[str] = []
        self.clients: list[subprocess.Popen[bytes]] = []
        self.restarts: dict[tuple[str, str], int] = {}
        self.began = time.monotonic()

    def step(self) -> None:
        """One random action."""
        actions = (
            [self.apply] * 6
            + [self.delete] * 4
            + [self.kill_something] * 5
            + [self.exec] * 2
            + [self.follow, self.attach, self.list_all]
            + [self.crash] * 2
            + [self.crash_during_action] * 2
            + [self.restart]
        )
        self.rng.choice(actions)()

    def note(self, text: str) -> None:
        self.story.append(f"{time.monotonic() - self.began:7.2f} {text}")

    def kubectl(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = self.server.run("kubectl", *argv, stdin=stdin, check=False, timeout=120)
        self.note(f"kubectl {' '.join(argv)}: {done.returncode} {done.stderr.strip()[:200]}")
        return done

    # actions

    def apply(self) -> None:
        pod = manifests.random_pod(self.rng, self.rng.choice(NAMES), self.big_images)
        self.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(pod))

    def delete(self) -> None:
        how = self.rng.choice([["--grace-period=1"], ["--now"], ["--force"], ["--wait=false"], ["--wait=false"]])
        self.kubectl("delete", "pod", self.rng.choice(NAMES), "--ignore-not-found", "--timeout=30s", *how)

    def kill_something(self) -> None:
        found = truth.victims(self.server.paths)
        if found:
            what, pid = self.rng.choice(sorted(found))
            self.note(f"kill -9 {pid}: {what}")
            truth.kill(pid)

    def exec(self) -> None:
        self.background("exec", "-i", self.rng.choice(NAMES), "--", "sh", "-c", "cat; sleep 1; echo end")

    def follow(self) -> None:
        self.background("logs", "-f", self.rng.choice(NAMES), "--all-containers")

    def attach(self) -> None:
        self.background("attach", "-i", self.rng.choice(NAMES), "-c", "a")

    def list_all(self) -> None:
        self.kubectl("get", "pods,events", "-A", "-o", "name")

    def background(self, *argv: str) -> None:
        self.note(f"in the background: kubectl {' '.join(argv)}")
        null = subprocess.DEVNULL
        client = subprocess.Popen(["kubectl", *argv], stdin=null, stdout=null, stderr=null, env=dict(self.server.environment))
        self.clients.append(client)
        if len(self.clients) > 6:
            self.end_client(self.clients.pop(0))

    def close(self) -> None:
        """End the clients in the background."""
        for client in self.clients:
            self.end_client(client)

    @staticmethod
    def end_client(client: subprocess.Popen[bytes]) -> None:
        client.kill()
        client.wait()

    def crash(self) -> None:
        self.note("kill -9 of the server")
        self.server.kill()
        for _ in range(self.rng.choice([0, 0, 1, 2])):
            self.kill_something()
        time.sleep(self.rng.choice([0, 0, 0.5, 1.5]))
        self.start()

    def crash_during_action(self) -> None:
        """Kill it some milliseconds into another action."""
        assert self.server.process is not None
        delay = self.rng.uniform(0.05, 0.6)
        self.note(f"kill -9 of the server in {delay * 1000:.0f} ms")
        killer = threading.Timer(delay, self.server.process.kill)
        killer.start()
        self.rng.choice([self.apply, self.apply, self.delete, self.kill_something])()
        killer.join()
        self.server.kill()
        self.start()

    def restart(self) -> None:
        self.note("SIGTERM to the server")
        began = time.monotonic()
        assert self.server.stop() == 0
        assert time.monotonic() - began < 28
        self.start()

    def start(self) -> None:
        self.server.start()
        self.note("the server is ready")

    # what must hold

    def pods(self) -> list[dict[str, Any]]:
        listed = self.server.kubectl("get", "pods", "-A", "-o", "json")
        found: list[dict[str, Any]] = json.loads(listed)["items"]
        return found

    def settle(self) -> None:
        """Wait until the API and the machine agree; then look at what may only grow."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while wrong := truth.violations(self.server.paths, self.pods()):
            if time.monotonic() > deadline:
                if self.server.process is not None:
                    self.server.process.send_signal(signal.SIGUSR1)  # where every task waits, into the server's log
                self.note(self.server.kubectl("get", "pods,events", "-o", "json"))
                raise AssertionError("\n".join(["does not come to rest:", *wrong, *self.story[-60:-1]]))
            time.sleep(0.3)
        self.note("at rest")
        self.check_counts()
        self.check_events()

    def check_counts(self) -> None:
        for pod in self.pods():
            for status in truth.statuses(pod):
                key = (pod["metadata"]["uid"], status["name"])
                if status["restartCount"] < self.restarts.get(key, 0):
                    raise AssertionError(f"{key}: restarts went from {self.restarts[key]} to {status['restartCount']}")
                self.restarts[key] = status["restartCount"]

    def check_events(self) -> None:
        events = json.loads(self.server.kubectl("get", "events", "-A", "-o", "json"))["items"]
        for event in events:
            assert event["count"] >= 1, event
            assert event["reason"], event
            assert "bug" not in event["message"], event

    def end(self) -> None:
        """Delete everything and wait for it."""
        self.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=60s")
        deadline = time.monotonic() + 60
        assert self.server.process is not None
        while wrong := truth.leftovers(self.server.paths, self.server.process.pid):
            if time.monotonic() > deadline:
                if self.server.process is not None:
                    self.server.process.send_signal(signal.SIGUSR1)  # where every task waits, into the server's log
                raise AssertionError("\n".join(["left behind:", *wrong, *self.tail()]))
            time.sleep(0.2)
        bugs = [line for line in self.server.log if "Traceback" in line or "a bug in podspace" in line or "ERROR" in line]
        assert not bugs, "\n".join([*bugs, *self.tail()])

    def tail(self) -> list[str]:
        return ["--- story", *self.story[-60:], "--- server", *(line.rstrip() for line in self.server.log[-150:])]


def seconds() -> float:
    """How long a storm lasts: PODSPACE_CHAOS_SECONDS, else short enough for every run of the suite."""
    return float(os.environ.get("PODSPACE_CHAOS_SECONDS", "40"))


def seed() -> int:
    """PODSPACE_CHAOS_SEED repeats a run's choices (not its timing)."""
    return int(os.environ.get("PODSPACE_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))

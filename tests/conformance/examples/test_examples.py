"""Every Pod of the Kubernetes documentation's examples runs to the state its page describes, or is refused with its reason.

The examples are not part of the repository: the tests read them from beside it, and are skipped where they are not. Images that cannot be
had are stood in for by the project's own (``tools/image_stand_ins.py``). What is expected is a table (``expected``).
"""

from __future__ import annotations

import collections
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.examples.expected import EXPECTED, SLOW, Expected
from tests.conformance.examples.objects import OBJECTS
from tests.support import pods, server
from tests.support.server import Server
from tools import registry

EXAMPLES = Path(__file__).resolve().parents[4] / "shared" / "examples"
pytestmark = [pytest.mark.root, pytest.mark.skipif(not EXAMPLES.is_dir(), reason=f"the documentation's examples are not at {EXAMPLES}")]
AT_ONCE = 20
SECONDS, SLOW_SECONDS = 180.0, 240.0
LABELS = ("disktype=ssd", "node=node1", "topology.kubernetes.io/zone=z", "zone=zoneA")
SIZE = 25
QUICK = sorted(EXPECTED.keys() - set(SLOW))
GROUPS = [list(SLOW), *(QUICK[start : start + SIZE] for start in range(0, len(QUICK), SIZE))]  # to be shared out among processes
PROFILES = {"audit": "SCMP_ACT_LOG", "fine-grained": "SCMP_ACT_ALLOW", "violation": "SCMP_ACT_ERRNO"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A Pod as ``kubectl get`` shows it ("1/1 Running"), and all that is told of it."""

    ready_and_status: str = ""
    restarts: int = 0
    told: str = ""


@dataclass(slots=True, kw_only=True)
class Trial:
    """One example on its way: its namespace, its Pods, and how they stood when last looked at."""

    path: str
    namespace: str
    until: float = 0.0
    error: str = ""
    names: list[str] = field(default_factory=list)
    pods: list[Shown] = field(default_factory=list)

    @property
    def expected(self) -> Expected:
        return EXPECTED[self.path]

    def apply(self, node: Server) -> None:
        done = node.run("kubectl", "apply", "-n", self.namespace, "-f", str(EXAMPLES / self.path), check=False)
        self.error = done.stderr
        self.names = re.findall(r"^pod/(\S+) created", done.stdout, re.MULTILINE)
        self.until = time.monotonic() + (SLOW_SECONDS if self.path in SLOW else SECONDS)

    def look(self, found: dict[tuple[str, str], Shown]) -> None:
        self.pods = [found.get((self.namespace, name), Shown()) for name in self.names]

    @property
    def over(self) -> bool:
        return self.good or time.monotonic() > self.until

    @property
    def good(self) -> bool:
        wanted = self.expected
        if not wanted.shows:
            return wanted.words in self.error and not self.names
        fits = (
            re.fullmatch(wanted.shows, pod.ready_and_status) and pod.restarts >= wanted.restarts and wanted.words in pod.told
            for pod in self.pods
        )
        return bool(self.pods) and all(fits)


@pytest.fixture(scope="module")
def node() -> Iterator[Server]:
    """A server whose registry also stands in for those of others, and a machine as the pages prepare it."""
    mirrored, root = Path(tempfile.mkdtemp(prefix="podspace-registry-")), Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    root.chmod(0o755)  # the root of a user namespace is somebody else, and has to get to its files
    profiles = root / "lib/seccomp/profiles"
    profiles.mkdir(parents=True)
    for name, action in PROFILES.items():
        (profiles / f"{name}.json").write_text(json.dumps({"defaultAction": action}))
    try:
        with (
            registry.running(mirrored, with_stand_ins=True) as mirror,
            server.running(root, registries_conf=mirror.registries_conf) as running,
        ):
            running.kubectl("label", "node", pods.node_name(running), *LABELS)
            yield running
            assert not [line for line in running.log if "Traceback" in line], "".join(running.log[-80:])
    finally:
        shutil.rmtree(mirrored)
        shutil.rmtree(root)


def run(node: Server, trials: list[Trial]) -> None:
    """Apply them, a number at a time; those that stand as expected make way for others."""
    _prepare(node, trials)
    waiting, active = collections.deque(trials), list[Trial]()
    while waiting or active:
        while waiting and len(active) < AT_ONCE:
            active.append(waiting.popleft())
            active[-1].apply(node)
        found = _shown(node)
        for trial in active:
            trial.look(found)
        _delete(node, [trial for trial in active if trial.over])
        active = [trial for trial in active if not trial.over]


def _namespace(path: str) -> str:
    """The one the manifest names, else one of its own."""
    named = re.search(r"""^ *namespace: *["']?([a-z0-9-]+)""", (EXAMPLES / path).read_text(), re.MULTILINE)
    return named[1] if named else re.sub(r"[^a-z0-9]+", "-", path.removesuffix(".yaml").lower())[-63:].strip("-")


def _prepare(node: Server, trials: list[Trial]) -> None:
    namespaces = {trial.namespace for trial in trials} - {"default", "kube-system"}
    made: list[Any] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces)]
    for trial in trials:
        for wanted in (OBJECTS[name] for name in trial.expected.needs):
            place = {} if wanted["kind"] == "PriorityClass" else {"namespace": trial.namespace}
            made.append(wanted | {"metadata": wanted["metadata"] | place})
    node.apply({"apiVersion": "v1", "kind": "List", "items": made})


def _shown(node: Server) -> dict[tuple[str, str], Shown]:
    told: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for event in json.loads(node.kubectl("get", "events", "-A", "-o", "json"))["items"]:
        told[event["metadata"]["namespace"], event["involvedObject"]["name"]].append(event["message"])
    for pod in json.loads(node.kubectl("get", "pods", "-A", "-o", "json"))["items"]:
        told[pod["metadata"]["namespace"], pod["metadata"]["name"]].append(json.dumps(pod["status"]))
    rows = [line.split() for line in node.kubectl("get", "pods", "-A", "--no-headers").splitlines()]
    return {
        (row[0], row[1]): Shown(ready_and_status=f"{row[2]} {row[3]}", restarts=int(row[4]), told="\n".join(told[row[0], row[1]]))
        for row in rows
    }


def _delete(node: Server, trials: list[Trial]) -> None:
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": trial.namespace}}
        for trial in trials
        for name in trial.names
    ]
    if pods:
        gone = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        node.kubectl("delete", "--force", "--grace-period=0", "--wait=false", "-f", "-", stdin=gone, check=False)


def test_every_pod_among_the_examples_has_its_line() -> None:
    index = [line.split("\t") for line in (EXAMPLES / "INDEX.tsv").read_text().splitlines()[1:]]
    assert set(EXPECTED) == {row[0] for row in index if "Pod" in re.split(r"[,(]", row[1])}


@pytest.mark.parametrize("paths", GROUPS, ids=lambda paths: f"from {paths[0]} on")
def test_examples_become_what_their_pages_describe(node: Server, paths: list[str]) -> None:
    trials = [Trial(path=path, namespace=_namespace(path)) for path in paths]
    run(node, trials)
    failed = [f"{trial.path}: expected {trial.expected}\nerror: {trial.error}\n{trial.pods}" for trial in trials if not trial.good]
    assert not failed, "\n\n".join(failed)

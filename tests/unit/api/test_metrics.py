"""metrics.k8s.io on the wire, over a meter that answers from a script."""

from __future__ import annotations

import dataclasses
import itertools
import time

import pytest

from podspace.api import authorization, metrics
from podspace.api.identity import Identity
from podspace.kube.json import JSON
from podspace.kube.metrics import Reading
from tests.unit.api.serving import Client, played, pod

BASE = "/apis/metrics.k8s.io/v1beta1"


class FakeMeter:
    """Everything runs, but Pods named ``idle``; each reading has spent another second."""

    def __init__(self) -> None:
        self._spent = itertools.count(1)

    def _reading(self) -> Reading:
        return Reading(id="i", nanos=time.monotonic_ns(), since_nanos=0, cpu_nanos=next(self._spent) * 1_000_000_000, memory_bytes=2 << 20)

    def pod(self, pod: JSON) -> dict[str, Reading]:
        return {} if pod["metadata"]["name"] == "idle" else {"a": self._reading()}

    def node(self, node: JSON) -> Reading | None:
        return self._reading() if node["metadata"]["name"] == "here" else None


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SHORTEST_SECONDS", 0.001)


def metered(client: Client) -> metrics.Sampler:
    sampler = metrics.Sampler(FakeMeter())
    object.__setattr__(client.server.services, "sampler", sampler)
    return sampler


def test_running_pods_are_listed_by_the_selectors_of_any_list() -> None:
    async def scene(client: Client) -> None:
        metered(client)
        for name in ("p", "q", "idle"):
            body = pod(name)
            body["metadata"]["labels"] = {"app": name}
            await client.post("/api/v1/namespaces/default/pods", body)
        told = (await client.get(f"{BASE}/namespaces/default/pods")).json
        assert (told["kind"], told["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
        assert [item["metadata"]["name"] for item in told["items"]] == ["p", "q"]
        assert told["items"][0]["containers"][0]["usage"]["memory"] == "2Mi"
        assert "kind" not in told["items"][0]
        chosen = (await client.get(f"{BASE}/pods?labelSelector=app%3Dq")).json
        assert [item["metadata"]["name"] for item in chosen["items"]] == ["q"]
        named = (await client.get(f"{BASE}/pods?fieldSelector=metadata.name%3Dp")).json
        assert [item["metadata"]["name"] for item in named["items"]] == ["p"]

    played(scene)


def test_one_pod_and_none() -> None:
    async def scene(client: Client) -> None:
        metered(client)
        for name in ("p", "idle"):
            await client.post("/api/v1/namespaces/default/pods", pod(name))
        assert (await client.get(f"{BASE}/namespaces/default/pods/p")).json["kind"] == "PodMetrics"
        for name in ("idle", "nope"):
            answer = await client.get(f"{BASE}/namespaces/default/pods/{name}")
            assert (answer.status, answer.message) == (404, f'podmetrics.metrics.k8s.io "default/{name}" not found')
        assert (await client.delete(f"{BASE}/namespaces/default/pods/p")).status == 405
        assert (await client.get(f"{BASE}/pods?watch=true")).status == 405

    played(scene)


def test_the_machine_is_one_node_and_no_other() -> None:
    async def scene(client: Client) -> None:
        metered(client)
        for name in ("here", "elsewhere"):
            await client.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        assert [item["metadata"]["name"] for item in (await client.get(f"{BASE}/nodes")).json["items"]] == ["here"]
        answer = await client.get(f"{BASE}/nodes/elsewhere")
        assert (answer.status, answer.message) == (404, 'nodemetrics.metrics.k8s.io "elsewhere" not found')

    played(scene)


def test_what_was_read_lately_is_what_the_next_question_begins_with() -> None:
    async def scene(client: Client) -> None:
        sampler = metered(client)
        here = {"metadata": {"name": "p", "uid": "u"}}
        first = await sampler.pods([here], time.time)
        taken = sampler._before["u"][0]
        second = await sampler.pods([here], time.time)
        assert float(second[0]["window"][:-1]) == pytest.approx((sampler._before["u"][0] - taken) / 1e9, abs=0.001)
        assert first[0]["containers"][0]["name"] == "a"
        assert list(sampler._before) == ["u"]

    played(scene)


def test_a_table_has_the_columns_of_metrics_server() -> None:
    async def scene(client: Client) -> None:
        metered(client)
        await client.post("/api/v1/namespaces/default/pods", pod())
        told = (await client.get(f"{BASE}/namespaces/default/pods", Accept="application/json;as=Table;v=v1;g=meta.k8s.io")).json
        assert [column["name"] for column in told["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
        assert told["rows"][0]["cells"][0] == "p"
        assert told["rows"][0]["cells"][2] == "2Mi"

    played(scene)


def test_who_may_view_a_namespace_may_measure_it_and_no_node() -> None:
    viewer = Identity(name="system:serviceaccount:n:v", groups=("system:serviceaccounts",), rights="view", namespace="n")
    pods = authorization.Attributes(verb="list", resource="pods", group="metrics.k8s.io", namespace="n")
    assert authorization.allows(viewer, pods)
    assert not authorization.allows(viewer, dataclasses.replace(pods, namespace="other"))
    assert not authorization.allows(viewer, dataclasses.replace(pods, resource="nodes", namespace=""))

"""LimitRanges and ResourceQuotas: what they give, what they refuse and in which words, what they count."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from podspace.kube import quotas, resources
from podspace.kube.json import JSON
from tests.unit.api.serving import Client, played, pod

N = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/kube-system"


def container(name: str = "a", **resources: JSON) -> JSON:
    return {"name": name, "image": "busybox:1.28", "resources": resources}


async def limit(client: Client, **item: Any) -> JSON:
    answer = await client.post(f"{N}/limitranges", {"metadata": {"name": "lr"}, "spec": {"limits": [item]}})
    assert answer.status == 201, answer.text
    return dict(answer.json)


async def quota(client: Client, spec: JSON, name: str = "q") -> None:
    answer = await client.post(f"{N}/resourcequotas", {"metadata": {"name": name}, "spec": spec})
    assert answer.status == 201, answer.text


async def used(client: Client, expected: JSON, name: str = "q") -> None:
    """Wait until the quota's status says so."""
    async with asyncio.timeout(10), client.watch(f"{N}/resourcequotas?watch=1") as stream:
        while True:
            seen = (await client.get(f"{N}/resourcequotas/{name}")).json.get("status", {}).get("used")
            if seen == expected:
                return
            await stream.readline()


def test_containers_that_say_nothing_get_the_ranges_defaults() -> None:
    async def scene(client: Client) -> None:
        made = await limit(client, type="Container", max={"cpu": "2"}, default={"memory": "512Mi"}, min={"cpu": "100m"})
        assert made["spec"]["limits"] == [
            {
                "type": "Container",
                "max": {"cpu": "2"},
                "min": {"cpu": "100m"},
                "default": {"cpu": "2", "memory": "512Mi"},
                "defaultRequest": {"cpu": "2", "memory": "512Mi"},
            }
        ]
        obj = (await client.post(f"{N}/pods", pod("p", containers=[container(requests={"cpu": "1"})]))).json
        assert obj["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "2", "memory": "512Mi"},
            "requests": {"cpu": "1", "memory": "512Mi"},
        }
        assert obj["metadata"]["annotations"] == {
            "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory request for container a; cpu, memory limit for container a"
        }
        assert obj["status"]["qosClass"] == "Burstable"

    played(scene)


@pytest.mark.parametrize(
    ("item", "resources", "words"),
    [
        ({"type": "Container", "max": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "maximum cpu usage per Container is 1, but limit is 2"),
        (
            {"type": "Container", "min": {"memory": "1Gi"}},
            {"requests": {"memory": "1Mi"}, "limits": {"memory": "2Gi"}},
            "minimum memory usage per Container is 1Gi, but request is 1Mi",
        ),
        ({"type": "Pod", "max": {"cpu": "1"}}, {}, "maximum cpu usage per Pod is 1.  No limit is specified"),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
    ],
)
def test_what_exceeds_a_range_is_forbidden(item: JSON, resources: JSON, words: str) -> None:
    async def scene(client: Client) -> None:
        await limit(client, **item)
        answer = await client.post(f"{N}/pods", pod("p", containers=[container(**resources)]))
        assert answer.status == 403
        assert answer.message == f'pods "p" is forbidden: {words}'

    played(scene)


def test_a_range_that_contradicts_itself_is_refused() -> None:
    async def scene(client: Client) -> None:
        item = {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}
        answer = await client.post(f"{N}/limitranges", {"metadata": {"name": "lr"}, "spec": {"limits": [item]}})
        assert answer.status == 422
        assert 'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1' in answer.message

    played(scene)


def test_a_resize_is_held_against_ranges_and_by_what_it_adds_against_quotas() -> None:
    async def scene(client: Client) -> None:
        async def resize(cpu: str) -> str:
            body = json.dumps({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]}})
            answer = await client.send("PATCH", f"{N}/pods/a/resize", body, Content_Type="application/strategic-merge-patch+json")
            return "" if answer.status == 200 else answer.message

        await quota(client, {"hard": {"pods": "1", "requests.cpu": "1500m"}})
        assert (await client.post(f"{N}/pods", pod("a", containers=[container(requests={"cpu": "1"})]))).status == 201
        assert await resize("1500m") == ""
        await used(client, {"pods": "1", "requests.cpu": "1500m"})
        assert await resize("2") == (
            'pods "a" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=1500m, limited: requests.cpu=1500m'
        )
        assert await resize("200m") == ""
        await limit(client, type="Container", min={"cpu": "100m"})
        assert await resize("50m") == 'pods "a" is forbidden: minimum cpu usage per Container is 100m, but request is 50m'

    played(scene)


def test_a_quota_counts_and_refuses_what_is_too_much() -> None:
    async def scene(client: Client) -> None:
        await quota(client, {"hard": {"pods": "2", "requests.cpu": "1500m", "count/configmaps": "1"}})
        await used(client, {"pods": "0", "requests.cpu": "0", "count/configmaps": "0"})
        one = pod("a", containers=[container(requests={"cpu": "1"})])
        assert (await client.post(f"{N}/pods", one)).status == 201
        await used(client, {"pods": "1", "requests.cpu": "1", "count/configmaps": "0"})
        refused = await client.post(f"{N}/pods", pod("b", containers=[container(requests={"cpu": "1"})]))
        assert refused.status == 403
        assert refused.message == (
            'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1, limited: requests.cpu=1500m'
        )
        silent = await client.post(f"{N}/pods", pod("c"))
        assert silent.message == 'pods "c" is forbidden: failed quota: q: must specify requests.cpu for: a'
        dry = await client.post(f"{N}/pods?dryRun=All", pod("b", containers=[container(requests={"cpu": "1"})]))
        assert dry.status == 403
        assert (await client.post(f"{N}/configmaps", {"metadata": {"name": "c"}})).status == 201
        assert (await client.post(f"{N}/configmaps", {"metadata": {"name": "d"}})).message == (
            'configmaps "d" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, '
            "limited: count/configmaps=1"
        )
        await client.delete(f"{N}/pods/a")
        await used(client, {"pods": "0", "requests.cpu": "0", "count/configmaps": "1"})

    played(scene)


def test_many_at_once_do_not_slip_through_a_quota() -> None:
    async def scene(client: Client) -> None:
        await quota(client, {"hard": {"pods": "3"}})
        answers = await asyncio.gather(*(client.post(f"{N}/pods", pod(f"p{number}")) for number in range(12)))
        assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 9

    played(scene)


def test_a_scope_says_which_pods_count() -> None:
    async def scene(client: Client) -> None:
        await quota(client, {"hard": {"pods": "0"}, "scopes": ["BestEffort"]})
        assert (await client.post(f"{N}/pods", pod("a"))).status == 403
        assert (await client.post(f"{N}/pods", pod("b", containers=[container(requests={"cpu": "1"})]))).status == 201
        bad = await client.post(
            f"{N}/resourcequotas", {"metadata": {"name": "x"}, "spec": {"scopes": ["Sometimes"], "hard": {"pods": "-1"}}}
        )
        assert 'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0' in bad.message
        assert 'spec.scopes: Invalid value: ["Sometimes"]: unsupported scope' in bad.message

    played(scene)


def test_pods_that_look_into_other_namespaces_can_be_counted() -> None:
    across = quotas_of_scope("CrossNamespacePodAffinity")
    for term, counts in (({}, False), ({"namespaces": []}, False), ({"namespaces": ["n"]}, True), ({"namespaceSelector": {}}, True)):
        for kind in ("podAffinity", "podAntiAffinity"):
            required = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}, {"topologyKey": "k", **term}]}}
            preferred: JSON = {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}}
            for affinity in (required, preferred):
                assert quotas.covers(across, resources.PODS, {"spec": {"affinity": affinity}}) is counts
    assert not quotas.covers(across, resources.PODS, {"spec": {}})


def quotas_of_scope(scope: str) -> JSON:
    return {"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]}}}


def test_the_api_servers_own_service_is_there_and_new_ones_say_that_nothing_routes_to_them() -> None:
    async def scene(client: Client) -> None:
        own = (await client.get(f"{N}/services/kubernetes")).json
        assert own["spec"]["clusterIP"] == "10.96.0.1"
        made = await client.post(f"{N}/services", {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
        assert made.status == 201
        assert made.json["spec"]["clusterIP"].startswith("10.96.")
        assert "nothing routes to Services on this machine" in made.warnings[0]
        again = await client.put(f"{N}/services/web", {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 81}]}})
        assert again.json["spec"]["clusterIP"] == made.json["spec"]["clusterIP"]

    played(scene)


@pytest.mark.parametrize("path", [f"{N}/replicationcontrollers", f"{APPS}/replicasets", f"{APPS}/daemonsets"])
def test_kinds_of_clusters_that_tests_look_for_are_empty_lists_and_not_in_discovery(path: str) -> None:
    async def scene(client: Client) -> None:
        assert (await client.get(path)).json["items"] == []
        assert (await client.post(path, {})).message == "the server could not find the requested resource"
        assert (await client.get("/apis/apps/v1")).status == 404
        assert (await client.get("/apis")).text.count('"apps"') == 0
        assert "replicationcontrollers" not in (await client.get("/api/v1")).text

    played(scene)


def test_a_quota_that_cannot_be_counted_is_no_end_of_the_server(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    count = quotas.used

    def counted(quota: JSON, objects: Any) -> Any:
        if quota["metadata"]["namespace"] == "odd":
            raise KeyError("spec")
        return count(quota, objects)

    monkeypatch.setattr(quotas, "used", counted)

    async def scene(client: Client) -> None:
        await client.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "odd"}})
        for namespace in ("odd", "default"):
            quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "9"}}}
            assert (await client.post(f"/api/v1/namespaces/{namespace}/resourcequotas", quota)).status == 201
        await used(client, {"configmaps": "0"})

    played(scene)
    assert "quotas of namespace odd: a bug in podspace" in caplog.text

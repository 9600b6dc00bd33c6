"""Create, read, update, patch and delete, as a client sees them."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.unit.api.serving import Client, configmap, next_event, played, pod

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def test_a_new_object_gets_its_identity_from_the_server() -> None:
    async def scene(client: Client) -> None:
        answer = await client.post(CONFIGMAPS, {"metadata": {"name": "c", "uid": "mine", "generation": 7}, "data": {"a": "1"}})
        assert answer.status == 201
        obj = answer.json
        assert list(obj) == ["kind", "apiVersion", "metadata", "data"]
        assert list(obj["metadata"]) == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields"]
        assert obj["metadata"]["uid"] != "mine"
        assert (await client.get(f"{CONFIGMAPS}/c")).json == obj

    played(scene)


def test_a_generated_name_is_the_prefix_and_five_letters() -> None:
    async def scene(client: Client) -> None:
        obj = (await client.post(CONFIGMAPS, {"metadata": {"generateName": "x" * 70}})).json
        assert obj["metadata"]["name"].startswith("x" * 58)
        assert len(obj["metadata"]["name"]) == 63

    played(scene)


def test_a_dry_run_checks_everything_and_stores_nothing() -> None:
    async def scene(client: Client) -> None:
        answer = await client.post(f"{CONFIGMAPS}?dryRun=All", configmap("c"))
        assert answer.status == 201
        assert "resourceVersion" not in answer.json["metadata"]
        assert (await client.get(f"{CONFIGMAPS}/c")).status == 404
        await client.post(CONFIGMAPS, configmap("c"))
        assert (await client.post(f"{CONFIGMAPS}?dryRun=All", configmap("c"))).status == 409
        await client.patch(f"{CONFIGMAPS}/c?dryRun=All", {"data": {"a": "1"}})
        await client.delete(f"{CONFIGMAPS}/c?dryRun=All")
        assert "data" not in (await client.get(f"{CONFIGMAPS}/c")).json

    played(scene)


def test_a_write_that_changes_nothing_keeps_the_resource_version() -> None:
    async def scene(client: Client) -> None:
        obj = (await client.post(CONFIGMAPS, configmap("c", data={"a": "1"}))).json
        assert (await client.put(f"{CONFIGMAPS}/c", obj)).json == obj
        assert (await client.patch(f"{CONFIGMAPS}/c", {"data": {"a": "1"}})).json == obj
        changed = (await client.patch(f"{CONFIGMAPS}/c", {"data": {"a": "2"}})).json
        assert changed["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]
        stale = await client.put(f"{CONFIGMAPS}/c", obj)
        assert (stale.status, stale.json["reason"]) == (409, "Conflict")
        nonsense = await client.put(f"{CONFIGMAPS}/c", {**obj, "metadata": {**obj["metadata"], "resourceVersion": "x"}})
        assert (nonsense.status, nonsense.message) == (500, 'strconv.ParseUint: parsing "x": invalid syntax')

    played(scene)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("merge", {"metadata": {"labels": {"x": "1"}}}),
        ("strategic-merge", {"metadata": {"labels": {"x": "1"}}}),
        ("json", [{"op": "add", "path": "/metadata/labels", "value": {"x": "1"}}]),
    ],
)
def test_every_kind_of_patch_is_understood(kind: str, body: object) -> None:
    async def scene(client: Client) -> None:
        await client.post(CONFIGMAPS, configmap("c"))
        assert (await client.patch(f"{CONFIGMAPS}/c", body, kind)).json["metadata"]["labels"] == {"x": "1"}

    played(scene)


def test_a_pod_starts_pending_and_counts_changes_of_its_spec() -> None:
    async def scene(client: Client) -> None:
        created = (await client.post(PODS, {**pod(), "status": {"phase": "Running"}})).json
        assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
        assert created["metadata"]["generation"] == 1
        labelled = (await client.patch(f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}})).json
        assert labelled["metadata"]["generation"] == 1
        changed = (await client.patch(f"{PODS}/p", {"spec": {"activeDeadlineSeconds": 9}})).json
        assert changed["metadata"]["generation"] == 2

    played(scene)


def test_the_status_path_changes_status_only_and_the_main_path_never_does() -> None:
    async def scene(client: Client) -> None:
        await client.post(PODS, pod())
        answer = await client.patch(f"{PODS}/p/status", {"status": {"podIP": "10.0.0.1"}, "spec": {"nodeName": "x"}})
        assert answer.json["status"]["podIPs"] == [{"ip": "10.0.0.1"}]
        assert "nodeName" not in answer.json["spec"]
        assert (await client.patch(f"{PODS}/p", {"status": {"phase": "Failed"}})).json["status"]["phase"] == "Pending"

    played(scene)


def test_a_scheduled_pod_is_deleted_gracefully_and_a_shorter_grace_wins() -> None:
    async def scene(client: Client) -> None:
        await client.post(PODS, pod(nodeName="n"))
        first = (await client.delete(f"{PODS}/p")).json["metadata"]
        assert (first["deletionTimestamp"], first["deletionGracePeriodSeconds"]) == ("2026-05-28T20:27:10Z", 30)
        longer = (await client.delete(f"{PODS}/p?gracePeriodSeconds=60")).json["metadata"]
        assert longer == first
        shorter = (await client.delete(f"{PODS}/p", {"gracePeriodSeconds": 5})).json["metadata"]
        assert (shorter["deletionTimestamp"], shorter["deletionGracePeriodSeconds"]) == ("2026-05-28T20:26:45Z", 5)
        again = await client.post(PODS, pod())
        assert again.message == 'object is being deleted: pods "p" already exists'
        await client.delete(f"{PODS}/p?gracePeriodSeconds=0")
        assert (await client.get(f"{PODS}/p")).status == 404

    played(scene)


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_every_propagation_policy_acts_as_background(policy: str) -> None:
    async def scene(client: Client) -> None:
        await client.post(CONFIGMAPS, configmap("c"))
        answer = await client.delete(f"{CONFIGMAPS}/c", {"propagationPolicy": policy})
        assert answer.json["status"] == "Success"
        assert (await client.get(f"{CONFIGMAPS}/c")).status == 404

    played(scene)


def test_a_finalizer_keeps_a_deleted_object_until_it_is_taken_off() -> None:
    async def scene(client: Client) -> None:
        await client.post(CONFIGMAPS, configmap("c", metadata={"finalizers": ["example.com/f"]}))
        await client.delete(f"{CONFIGMAPS}/c")
        assert (await client.get(f"{CONFIGMAPS}/c")).json["metadata"]["deletionTimestamp"]
        assert (await client.patch(f"{CONFIGMAPS}/c", {"metadata": {"finalizers": None}})).status == 200
        assert (await client.get(f"{CONFIGMAPS}/c")).status == 404

    played(scene)


def test_a_deleted_namespace_takes_its_content_along() -> None:
    async def scene(client: Client) -> None:
        await client.post("/api/v1/namespaces", {"metadata": {"name": "x"}})
        await client.post("/api/v1/namespaces/x/configmaps", configmap("c"))
        await client.post("/api/v1/namespaces/x/pods", pod(nodeName="n"))
        async with client.watch("/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Dx&resourceVersion=1") as events:
            answer = await client.delete("/api/v1/namespaces/x")
            assert answer.json["status"]["phase"] == "Terminating"
            refused = await client.post("/api/v1/namespaces/x/pods", pod("q"))
            assert refused.status == 403
            assert refused.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"
            await client.delete("/api/v1/namespaces/x/pods/p?gracePeriodSeconds=0")
            kinds: list[str] = []
            while not kinds or kinds[-1] != "DELETED":
                kinds.append((await next_event(events))["type"])
        assert (await client.get("/api/v1/namespaces/x")).status == 404
        assert client.store.list("configmaps", "x")[0] == []
        assert (await client.delete("/api/v1/namespaces/default")).status == 403

    played(scene)


def test_an_event_is_one_object_with_two_faces() -> None:
    async def scene(client: Client) -> None:
        events = "/apis/events.k8s.io/v1/namespaces/default/events"
        body = {
            "metadata": {"name": "e"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
            "note": "n",
            "reason": "R",
            "action": "A",
            "reportingController": "k/x",
            "reportingInstance": "i",
            "type": "Warning",
        }
        created = await client.post(events, body)
        assert created.status == 201, created.text
        core = (await client.get("/api/v1/namespaces/default/events/e")).json
        assert (core["message"], core["involvedObject"]["name"], core["reportingComponent"]) == ("n", "p", "k/x")
        assert (await client.get(f"{events}/e")).json == created.json
        patched = await client.patch(f"{events}/e", {"note": "m"})
        assert patched.json["note"] == "m", patched.text

    played(scene)


def test_a_pod_is_bound_once() -> None:
    async def scene(client: Client) -> None:
        await client.post(PODS, pod())
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        assert (await client.post(f"{PODS}/p/binding", binding)).status == 201
        bound = (await client.get(f"{PODS}/p")).json
        assert bound["spec"]["nodeName"] == "n"
        assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
        again = await client.post(f"{PODS}/p/binding", binding)
        assert again.message == 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n"'

    played(scene)


def test_a_body_over_three_mebibytes_is_refused() -> None:
    async def scene(client: Client) -> None:
        answer = await client.post(CONFIGMAPS, configmap("big", data={"a": "x" * (3 << 20)}))
        assert (answer.status, answer.message) == (413, "Request entity too large: limit is 3145728")

    played(scene)


@pytest.mark.parametrize("body", [{"metadata": "x"}, {"metadata": None}, {"metadata": {"name": 1}}, {"spec": []}, [], "x", 1, None])
@pytest.mark.parametrize("kind", ["merge", "strategic-merge", "json"])
def test_a_senseless_patch_is_the_clients_fault(kind: str, body: object) -> None:
    async def scene(client: Client) -> None:
        await client.post(PODS, pod())
        answer = await client.patch(f"{PODS}/p", json.dumps(body), kind)
        assert 200 <= answer.status < 500, answer.text

    played(scene)


@pytest.mark.parametrize(
    ("kind", "value"), [("strategic-merge", r'"map\[foo:bar\]"'), ("merge", r'"\{\\"kind\\":\\"ConfigMap\\",.*\\"foo\\":\\"bar\\"\}"')]
)
def test_an_unknown_field_of_a_patch_is_refused_with_what_the_api_server_calls_the_value(kind: str, value: str) -> None:
    async def scene(client: Client) -> None:
        await client.post(CONFIGMAPS, configmap("c"))
        answer = await client.patch(f"{CONFIGMAPS}/c?fieldValidation=Strict", {"foo": "bar"}, kind)
        assert answer.status == 422
        sentence = rf' "" is invalid: patch: Invalid value: {value}: strict decoding error: unknown field "foo"'
        assert re.fullmatch(sentence, answer.message), answer.message

    played(scene)


@pytest.mark.parametrize("kind", ["merge", "strategic-merge"])
def test_a_key_that_comes_twice_in_a_patch_is_told_or_refused(kind: str) -> None:
    body = '{"metadata":{"labels":{"a":"1","a":"2"}}}'
    words = 'duplicate field "metadata.labels.a"'

    async def scene(client: Client) -> None:
        await client.post(CONFIGMAPS, configmap("c"))
        strict = await client.patch(f"{CONFIGMAPS}/c?fieldValidation=Strict", body, kind)
        assert strict.status == 422
        assert f"strict decoding error: {words}" in strict.message
        warned = await client.patch(f"{CONFIGMAPS}/c", body, kind)
        assert warned.status == 200
        assert [text.replace("\\", "") for text in warned.warnings] == [f'299 - "{words}"']
        assert warned.json["metadata"]["labels"] == {"a": "2"}
        assert (await client.patch(f"{CONFIGMAPS}/c?fieldValidation=Ignore", body, kind)).warnings == []

    played(scene)


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PUT", "/c")])
def test_repeated_and_unknown_fields_are_refused_in_json_and_yaml_alike(method: str, path: str) -> None:
    prefix = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","foo":1},"data":{"a":"1","a":"2"}}'
    yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  foo: 1\ndata:\n  a: '1'\n  a: '2'\n"

    async def scene(client: Client) -> None:
        await client.post(CONFIGMAPS, configmap("c"))
        address = f"{CONFIGMAPS}{path}?fieldValidation=Strict"
        in_json = await client.send(method, address, text, Content_Type="application/json")
        assert (in_json.status, in_json.message) == (400, f'{prefix}unknown field "metadata.foo", duplicate field "data.a"')
        in_yaml = await client.send(method, address, yaml, Content_Type="application/yaml")
        assert in_yaml.status == 400
        assert in_yaml.message.startswith(f'{prefix}yaml: unmarshal errors:\n  line 8: key "a" already set in map')

    played(scene)


def test_a_namespace_that_is_emptied_loses_what_comes_meanwhile_too() -> None:
    async def scene(client: Client) -> None:
        await client.post("/api/v1/namespaces", {"metadata": {"name": "full"}})
        inside = "/api/v1/namespaces/full"
        about = {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "full"}, "reason": "Killing"}
        await client.post(f"{inside}/events", {"metadata": {"name": "first", "finalizers": ["example.com/wait"]}, **about})
        with client.store.watch("events") as events, client.store.watch("namespaces") as namespaces:
            assert (await client.delete(inside)).status == 200
            async with asyncio.timeout(10):
                assert (await events.batch())[0].obj["metadata"]["deletionTimestamp"]
                late = {"kind": "Event", "apiVersion": "v1", "metadata": {"name": "last", "namespace": "full", "uid": "u"}, **about}
                await client.store.create("events", late)
                while client.store.get("events", "full", "last"):
                    await events.batch()
                await client.patch(f"{inside}/events/first", {"metadata": {"finalizers": None}})
                while client.store.get("namespaces", "", "full"):
                    await namespaces.batch()

    played(scene)


def test_a_manifest_that_does_not_repeat_what_was_added_changes_nothing() -> None:
    async def scene(client: Client) -> None:
        manifest = pod("p", tolerations=[{"key": "mine", "operator": "Exists", "effect": "NoSchedule"}])
        made = (await client.post(PODS, manifest)).json
        assert len(made["spec"]["tolerations"]) == 3
        assert (await client.put(f"{PODS}/p", manifest)).json == made
        apply = {"Content_Type": "application/apply-patch+yaml"}
        address = f"{PODS}/p?fieldManager=m&force=true"
        first = (await client.send("PATCH", address, json.dumps(manifest), **apply)).json
        assert first["metadata"]["generation"] == 1
        assert (await client.send("PATCH", address, json.dumps(manifest), **apply)).json == first

    played(scene)


def test_a_claim_put_again_keeps_its_protection() -> None:
    path = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec}

    async def scene(client: Client) -> None:
        made = (await client.post(path, claim)).json
        assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        assert (await client.put(f"{path}/c", claim)).json == made
        await client.delete(f"{path}/c")
        freed = await client.patch(f"{path}/c", {"metadata": {"finalizers": None}})
        assert freed.status == 200
        assert (await client.get(f"{path}/c")).status == 404

    played(scene)


def test_a_service_account_keeps_only_the_names_of_its_secrets() -> None:
    async def scene(client: Client) -> None:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        secrets = [{"name": "a", "namespace": "other", "uid": "x"}, {"kind": "Secret"}]
        made = await client.post(accounts, {"metadata": {"name": "s"}, "secrets": secrets})
        assert (made.status, made.json["secrets"]) == (201, [{"name": "a"}, {}])

    played(scene)


def test_a_claim_says_its_source_in_both_fields() -> None:
    async def scene(client: Client) -> None:
        claims, source = "/api/v1/namespaces/default/persistentvolumeclaims", {"kind": "PersistentVolumeClaim", "name": "a"}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSource": source}
        made = await client.post(claims, {"metadata": {"name": "c"}, "spec": spec})
        assert made.json["spec"]["dataSourceRef"] == made.json["spec"]["dataSource"] == source

    played(scene)


def test_a_quota_does_not_take_a_clients_word_for_what_is_used() -> None:
    async def scene(client: Client) -> None:
        body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}, "status": {"used": {"pods": "7"}}}
        made = await client.post("/api/v1/namespaces/default/resourcequotas?dryRun=All", body)
        assert (made.status, made.json["status"]) == (201, {})

    played(scene)


def test_a_service_that_was_a_name_gets_an_address_with_its_new_type() -> None:
    async def scene(client: Client) -> None:
        services = "/api/v1/namespaces/default/services"
        made = await client.post(services, {"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "a.b"}})
        assert (made.status, "clusterIP" in made.json["spec"]) == (201, False)
        change = {"spec": {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}}
        changed = await client.patch(f"{services}/s", change, "merge")
        assert (changed.status, changed.json["spec"]["ipFamilies"]) == (200, ["IPv4"])
        assert changed.json["spec"]["clusterIPs"] == [changed.json["spec"]["clusterIP"]]

    played(scene)

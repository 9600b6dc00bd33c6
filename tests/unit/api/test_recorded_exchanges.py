"""Requests and answers recorded from a real API server (1.36), sent again to ours: status and body must be the same.

Compared are code and body, less what differs from run to run: uids, times, resourceVersions, continue tokens. ``SCENES`` says what is
there before; an object that the recording names by its uid is given that uid. What is known to differ is listed with its reason.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podspace.kube.json import JSON
from tests.unit.api.serving import Answer, Client, configmap, pod, serving

FOLDER = Path(__file__).parents[2] / "data" / "api"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
JWT = re.compile(r"[\w-]{20,}\.[\w-]{100,}\.[\w-]{86}")
REVISION = re.compile(r"(ResourceVersion in record \(|current: |too old resource version: \d+ \()\d+")

Scene = list[tuple[str, JSON]]


def namespace(name: str) -> tuple[str, JSON]:
    return "/api/v1/namespaces", {"metadata": {"name": name}}


def pods_in(name: str, *pods: JSON) -> Scene:
    return [namespace(name), *((f"/api/v1/namespaces/{name}/pods", one) for one in pods)]


def configmaps_in(name: str, *maps: JSON) -> Scene:
    return [namespace(name), *((f"/api/v1/namespaces/{name}/configmaps", one) for one in maps)]


TWO = pod(
    "two",
    nodeName="node-1",
    initContainers=[{"name": "i", "image": "x"}],
    containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}],
)
UN = pod("un")
WATCHED = configmaps_in("wtest", *(configmap(f"c{i}", metadata={"labels": {"i": str(i)}}) for i in range(3)))
LISTED = configmaps_in("ltest", *(configmap(f"c{i}") for i in range(5)))
BOUND = pods_in("sub", pod("p", nodeName="node-1"))

NODES: Scene = [("/api/v1/nodes", {"metadata": {"name": name}}) for name in ("node-1", "node-2")]
NODES.append(("STATUS /api/v1/nodes/node-2", json.loads((FOLDER / "node-updates.json").read_text())["exchanges"][0]["body"]["status"]))

SCENES: dict[str, Scene] = {
    "accept-negotiation": [],
    "apply-and-plain-writes": [namespace("ssa")],
    "apply-ownership": [namespace("ssa")],
    "auth-selfsubjectaccessreview": [],
    "auth-selfsubjectreview": [],
    "auth-selfsubjectrulesreview": [],
    "create-dryrun": [namespace("crt")],
    "create-full-defaults": [namespace("crt")],
    "create-minimal-pod": [namespace("crt")],
    "create-other-kinds": [namespace("crt")],
    "delete-1-unscheduled-pod": pods_in("del", pod("a")),
    "delete-10-grace-zero-in-spec": pods_in("del", pod("j", nodeName="node-1", terminationGracePeriodSeconds=0)),
    "delete-11-grace-negative": pods_in("del", pod("k", nodeName="node-1", terminationGracePeriodSeconds=-5)),
    "delete-12-writes-while-terminating": [*pods_in("del", pod("l", nodeName="node-1")), ("DELETE /api/v1/namespaces/del/pods/l", {})],
    "delete-2-scheduled-pod-graceful": pods_in("del", pod("b", nodeName="node-1")),
    "delete-3-finalizer": pods_in("del", {**pod("c", nodeName="node-1"), "metadata": {"name": "c", "finalizers": ["example.com/f"]}}),
    "delete-4-preconditions-dryrun": pods_in("del", pod("d", nodeName="node-1")),
    "delete-5-terminal-pod": [
        *pods_in("del", pod("e", nodeName="node-1")),
        ("STATUS /api/v1/namespaces/del/pods/e", {"phase": "Succeeded"}),
    ],
    "delete-6-collection": pods_in("del", pod("f", nodeName="node-1"), pod("g")),
    "delete-7-propagation": pods_in("del", pod("h", nodeName="node-1")),
    "delete-8-no-body": pods_in("del", pod("i")),
    "delete-9-other-kinds": [
        namespace("del"),
        ("/api/v1/namespaces/del/configmaps", configmap("c")),
        ("/api/v1/namespaces/del/secrets", {"metadata": {"name": "s"}}),
    ],
    "discovery-group-legacy": [],
    "error-400-bad-dryrun": [],
    "error-400-bad-name-in-path": [],
    "error-400-body": [],
    "error-400-fieldmanager-too-long": [],
    "error-400-missing-body": [],
    "error-400-strict": [],
    "error-404-group": [],
    "error-404-list-in-missing-namespace-is-200": [],
    "error-404-namespace-on-create": [],
    "error-404-object": [],
    "error-404-path": [],
    "error-404-resource": [],
    "error-404-subresource": [],
    "error-404-version": [],
    "error-405-delete-nodes-path": [],
    "error-405-post-all-namespaces": [],
    "error-405-post-on-object": [],
    "error-405-put-on-collection": [],
    "error-406": [],
    "error-409-already-exists": [("/api/v1/namespaces/default/configmaps", configmap("dup"))],
    "error-409-conflict": [("/api/v1/namespaces/default/configmaps", configmap("dup"))],
    "error-415": [],
    "error-415-patch": [],
    "error-422": [],
    "events-patch-and-ttl": [namespace("misc")],
    "events-two-apis": [
        namespace("crt"),
        (
            "/api/v1/namespaces/crt/events",
            {
                "metadata": {"name": "e.1"},
                "involvedObject": {"kind": "Pod", "name": "p", "namespace": "crt"},
                "reason": "R",
                "message": "m",
                "type": "Normal",
            },
        ),
    ],
    "forbidden": [],
    "head-options": pods_in("misc", pod("p", nodeName="node-1")),
    "lease": [],
    "list-chunking": LISTED,
    "list-continue-errors": LISTED,
    "list-field-selector-syntax": [],
    "list-label-selectors": [],
    "list-limit-with-selector": LISTED,
    "list-resourceversion": LISTED,
    "namespace-finalize-and-status": [namespace("misc")],
    "node-updates": NODES,
    "partialobjectmetadata": [],
    "patch-status-codes": pods_in("misc", pod("p", nodeName="node-1")),
    "sub-binding": pods_in("sub", pod("p")),
    "sub-ephemeralcontainers": BOUND,
    "sub-eviction": BOUND,
    "sub-exec-errors": pods_in("sub", TWO, UN),
    "sub-log-errors": pods_in("sub", TWO, UN),
    "sub-portforward-errors": pods_in("sub", TWO, UN),
    "sub-serviceaccount-token": [namespace("sub")],
    "sub-status": [*pods_in("sub", pod("p")), ("BIND /api/v1/namespaces/sub/pods/p", {"target": {"name": "node-1"}})],
    "table-404": [],
    "table-bad-includeobject": [],
    "table-empty-list": [],
    "update-resourceversion": configmaps_in("crt", configmap("rv")),
    "watch-list-bad-params": WATCHED,
    "watch-rv-invalid": [],
}
_KUBELET = "the recorded server had no kubelet behind it"
_STREAM = "a stream that does not end; see test_watches"
_NO_SUCH_PODS = "made with Pods of other recordings"
_CONTINUED = "goes on where another recording ended"
# (recording, number of the exchange from 0): why it is not compared
DIFFERENT = {
    ("apply-ownership", 7): "the message holds a diff of Go structs",
    ("accept-negotiation", 0): "YAML text, compared in test_negotiate",
    ("accept-negotiation", 3): _NO_SUCH_PODS,
    ("accept-negotiation", 4): _NO_SUCH_PODS,
    ("accept-negotiation", 5): _NO_SUCH_PODS,
    ("auth-selfsubjectaccessreview", 1): "asked by a user without rights",
    ("auth-selfsubjectreview", 0): "the user has another name",
    ("auth-selfsubjectreview", 1): "asked by a user without rights",
    ("create-dryrun", 2): "a random name",
    ("delete-7-propagation", 0): "there is no garbage collector: acts as Background",
    ("delete-7-propagation", 1): "there is no garbage collector: acts as Background",
    ("discovery-group-legacy", 1): "storageVersionHash is not served",
    ("discovery-group-legacy", 2): "the reviews of other subjects are not served",
    ("head-options", 2): _NO_SUCH_PODS,
    ("head-options", 3): "lists all that a real server has",
    ("head-options", 4): _NO_SUCH_PODS,
    ("list-continue-errors", 1): "the token is of another server",
    ("list-continue-errors", 2): "the token is of another server",
    ("list-continue-errors", 3): "items",
    ("list-resourceversion", 5): "the revision is of another server",
    ("partialobjectmetadata", 0): _NO_SUCH_PODS,
    ("partialobjectmetadata", 1): _NO_SUCH_PODS,
    ("patch-status-codes", 6): "the message holds the recorded server's managedFields",
    ("sub-ephemeralcontainers", 0): _CONTINUED,
    ("sub-ephemeralcontainers", 1): _CONTINUED,
    ("sub-ephemeralcontainers", 2): _CONTINUED,
    ("sub-ephemeralcontainers", 3): "the message holds a diff of Go structs",
    ("sub-eviction", 2): _CONTINUED,
    ("sub-exec-errors", 8): _KUBELET,
    ("sub-exec-errors", 9): _KUBELET,
    ("sub-exec-errors", 10): _KUBELET,
    ("sub-exec-errors", 11): _KUBELET,
    ("sub-log-errors", 10): _KUBELET,
    ("sub-log-errors", 11): _KUBELET,
    ("sub-portforward-errors", 1): _KUBELET,
    ("sub-portforward-errors", 2): _KUBELET,
    ("table-empty-list", 0): "column descriptions end a paragraph earlier",
    ("watch-list-bad-params", 3): _STREAM,
    ("watch-list-bad-params", 7): _STREAM,
}


@pytest.mark.parametrize("name", sorted(SCENES))
def test_the_answers_are_those_of_a_real_server(name: str) -> None:
    recording = json.loads((FOLDER / f"{name}.json").read_text())["exchanges"]

    async def scene() -> None:
        async with serving() as client:
            for path, obj in SCENES[name]:
                await plant(client, path, obj, recording)
            tokens: dict[str, str] = {}
            for number, exchange in enumerate(recording):
                if DIFFERENT.get((name, number)) == _STREAM:
                    continue
                answer = await send_again(client, exchange, tokens)
                if (name, number) not in DIFFERENT:
                    compare(f"{number}: {exchange['method']} {exchange['path']}", answer, exchange)

    asyncio.run(scene())


async def plant(client: Client, path: str, obj: JSON, recording: list[JSON]) -> None:
    """Create an object as a client would, but with the uid the recording knows it by; or delete one."""
    if path.startswith("STATUS "):
        assert (await client.patch(path.removeprefix("STATUS ") + "/status", {"status": obj})).status == 200
        return
    if path.startswith("BIND "):
        assert (await client.post(path.removeprefix("BIND ") + "/binding", obj)).status == 201
        return
    if path.startswith("DELETE "):
        assert (await client.delete(path.removeprefix("DELETE "))).status == 200
        return
    uid = uid_of(obj["metadata"]["name"], recording)
    made = await client.post(f"{path}?dryRun=All", obj)
    assert made.status == 201, made.text
    fresh = made.json
    if uid:
        fresh["metadata"]["uid"] = uid
    await client.store.create(path.rpartition("/")[2], fresh)


async def send_again(client: Client, exchange: JSON, tokens: dict[str, str]) -> Answer:
    """``tokens``: recorded continue tokens and resourceVersions, and what they are here."""
    headers = {key.replace("-", "_"): value for key, value in exchange.get("headers", {}).items()}
    path, body = exchange["path"], exchange.get("body")
    for recorded, ours in tokens.items():
        path = path.replace(f"continue={recorded}", f"continue={ours}")
    if isinstance(body, dict) and body.get("metadata", {}).get("resourceVersion") in tokens:
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": tokens[body["metadata"]["resourceVersion"]]}}
    answer = await client.send(exchange["method"], path, body, **headers)
    if answer.text.startswith("{") and isinstance(exchange["answer"], dict):
        ours, recorded = answer.json.get("metadata", {}), exchange["answer"].get("metadata", {})
        tokens.update((recorded[key], ours[key]) for key in ("continue", "resourceVersion") if key in ours and key in recorded)
    return answer


def compare(what: str, answer: Answer, exchange: JSON) -> None:
    expected = nobodys(exchange["answer"])
    assert answer.status == exchange["status"], f"{what}: {answer.text}"
    if not expected:
        return
    if isinstance(expected, str):
        assert answer.text == expected
        return
    ours = nobodys(answer.json)
    if "items" not in expected and isinstance(ours, dict):
        ours.pop("items", None)  # left out of the recording
    if "managedFields" not in json.dumps(expected):
        ours = unowned(ours)
    assert masked(ours) == masked(expected), what
    assert json.dumps(masked(ours), indent=1) == json.dumps(masked(expected), indent=1), f"{what}: order of keys"


def unowned(value: Any) -> Any:
    """Without managedFields, which most recordings leave out."""
    return pruned(value, lambda key, _: key == "managedFields")


def nobodys(value: Any) -> Any:
    """Without the ServiceAccount that is a Pod's if it names none: the recorded server had that switched off."""
    return pruned(value, lambda key, item: key in ("serviceAccount", "serviceAccountName") and item == "default")


def pruned(value: Any, leaves_out: Callable[[str, Any], bool]) -> Any:
    match value:
        case dict():
            return {key: pruned(item, leaves_out) for key, item in value.items() if not leaves_out(key, item)}
        case list():
            return [pruned(item, leaves_out) for item in value]
        case _:
            return value


def masked(value: Any) -> Any:
    """Without what differs from run to run."""
    match value:
        case {"kind": _, "namespace": _, "name": _, **rest} if "metadata" not in rest:  # a reference: no order to keep
            return {key: masked(value[key]) for key in sorted(value)}
        case dict():
            return {key: "R" if key in ("resourceVersion", "continue") and item else masked(item) for key, item in value.items()}
        case list():
            return [masked(item) for item in value]
        case str():
            return JWT.sub("<JWT>", REVISION.sub(r"\1R", TIME.sub("T", UUID.sub("U", value))))
        case _:
            return value


def uid_of(name: str, recording: list[JSON]) -> str | None:
    """The uid a recorded object of this name has."""
    for obj in objects(copy.deepcopy(recording)):
        if obj.get("name") == name and UUID.fullmatch(str(obj.get("uid"))):
            return str(obj["uid"])
    return None


def objects(value: Any) -> Iterator[JSON]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)

"""What kubectl 1.36 asks and no release at hand does: it waits, deletes and runs by watches that begin with what is there."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
import threading
import urllib.parse
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.kubectl.pods import container, pod
from tests.support.server import Server

pytestmark = pytest.mark.root

PODS = "/api/v1/namespaces/default/pods"
INITIAL = "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&watch=true"
TYPED = "application/vnd.kubernetes.protobuf,application/json"


class Client:
    """Requests as kubectl writes them, with the certificate of the kubeconfig."""

    def __init__(self, server: Server, folder: Path) -> None:
        config = yaml.safe_load(server.kubeconfig.read_text())
        user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
        for name, data in ("client-certificate", user), ("client-key", user), ("certificate-authority", cluster):
            (folder / name).write_bytes(base64.b64decode(data[f"{name}-data"]) if f"{name}-data" in data else Path(data[name]).read_bytes())
        self._context = ssl.create_default_context(cafile=str(folder / "certificate-authority"))
        self._context.load_cert_chain(folder / "client-certificate", folder / "client-key")
        self._host = urllib.parse.urlsplit(cluster["server"]).netloc

    def send(self, method: str, path: str, body: Any = None, *, accept: str = "application/json") -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=30)
        try:
            headers = {"Accept": accept, "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def watch(self, name: str, *, accept: str = "application/json", seconds: int = 20) -> Generator[tuple[str, dict[str, Any]], None, None]:
        connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=30)
        try:
            query = f"{INITIAL}&fieldSelector=metadata.name%3D{name}&timeoutSeconds={seconds}"
            connection.request("GET", f"{PODS}?{query}", headers={"Accept": accept})
            response = connection.getresponse()
            assert response.status == 200
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()


@pytest.fixture
def client(podspace: Server, tmp_path: Path) -> Client:
    return Client(podspace, tmp_path)


def _is_end_of_beginning(kind: str, obj: dict[str, Any]) -> bool:
    return kind == "BOOKMARK" and obj["metadata"].get("annotations") == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize("accept", ["application/json", TYPED])
def test_wait_for_ready_sees_what_is_there_then_the_mark_then_the_change(client: Client, accept: str) -> None:
    client.send("POST", f"{PODS}?fieldManager=kubectl-run", pod("w"))
    watching = client.watch("w", accept=accept)
    first = next(watching)
    assert (first[0], first[1]["metadata"]["name"]) == ("ADDED", "w")
    assert _is_end_of_beginning(*next(watching))
    for _, obj in itertools.chain([first], watching):
        if any(one["type"] == "Ready" and one["status"] == "True" for one in obj["status"].get("conditions", ())):
            break
    else:
        pytest.fail("never ready")
    watching.close()
    _delete(client, "w")


def _delete(client: Client, name: str) -> None:
    """As ``kubectl delete`` of 1.36: DELETE, GET, and a watch until the Pod of that uid is gone."""
    status, answered = client.send("DELETE", f"{PODS}/{name}", {"propagationPolicy": "Background"})
    assert (status, answered["kind"]) == (200, "Pod")
    status, _ = client.send("GET", f"{PODS}/{name}")
    assert status in (200, 404)
    present = False
    for kind, obj in client.watch(name):
        if kind == "DELETED":
            assert obj["metadata"]["uid"] == answered["metadata"]["uid"]
            break
        present = present or kind == "ADDED"
        if _is_end_of_beginning(kind, obj) and not present:
            break
    else:
        pytest.fail("never gone")
    assert client.send("GET", f"{PODS}/{name}")[0] == 404


def test_waiting_for_what_is_gone_already_ends_with_the_mark(client: Client) -> None:
    assert _is_end_of_beginning(*next(client.watch("never-there")))


def test_run_reads_the_log_before_it_attaches_and_then_waits_for_the_end(client: Client, podspace: Server) -> None:
    once = container("r", "sh", "-c", "echo before; read line", stdin=True, stdinOnce=True)
    client.send("POST", f"{PODS}?fieldManager=kubectl-run", pod("r", once, restartPolicy="Never"))
    for _, obj in client.watch("r", accept=TYPED):
        if obj.get("status", {}).get("phase") == "Running":
            break
    ended = threading.Event()

    def follow() -> None:
        for _, obj in client.watch("r", accept=TYPED):
            if obj.get("status", {}).get("phase") == "Succeeded":
                ended.set()
                return

    waiting = threading.Thread(target=follow)
    waiting.start()
    assert podspace.kubectl("logs", "r") in ("before\n", "")
    podspace.run("kubectl", "attach", "-i", "r", stdin="x\n", check=False)
    waiting.join(30)
    assert ended.is_set()
    _delete(client, "r")


def test_a_debug_containers_start_is_seen_by_such_a_watch(client: Client, podspace: Server) -> None:
    podspace.apply(pod("d"))
    podspace.wait_ready("d")
    podspace.kubectl("debug", "d", "--image=busybox:1.28", "--target=c", "-c", "dbg", "--", "sleep", "100")
    for _, obj in client.watch("d", accept=TYPED):
        states = obj.get("status", {}).get("ephemeralContainerStatuses", ())
        if any("running" in one["state"] for one in states):
            break
    else:
        pytest.fail("the debug container never ran")
    _delete(client, "d")

"""What the examples of the Python client ``kubernetes`` do: create, watch, exec, logs, port-forward, patch, dynamic, delete.

Run as a program by ``test_clients``, with KUBECONFIG set.
"""

from __future__ import annotations

import contextlib
from typing import Any

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.stream import portforward, stream

NAMESPACE = "default"
WEB = "echo started; mkdir /w; echo a page > /w/index.html; exec httpd -f -p 8080 -h /w"


def manifest(name: str, script: str) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox:1.28", "command": ["sh", "-c", script]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def create_and_watch(core: client.CoreV1Api) -> None:
    core.create_namespaced_pod(NAMESPACE, manifest("web", WEB))
    seen = []
    watching = watch.Watch()
    for event in watching.stream(core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=web", timeout_seconds=60):
        seen.append((event["type"], event["object"].status.phase))
        if seen[-1][1] == "Running":
            watching.stop()
    assert seen[0][0] == "ADDED", seen
    assert seen[-1][1] == "Running", seen


def execute(core: client.CoreV1Api) -> None:
    connect = core.connect_get_namespaced_pod_exec
    command = ["sh", "-c", "echo out; echo err >&2"]
    said = stream(connect, "web", NAMESPACE, command=command, stderr=True, stdin=False, stdout=True, tty=False)
    assert sorted(said.split()) == ["err", "out"], said
    session = stream(connect, "web", NAMESPACE, command=["sh"], stderr=True, stdin=True, stdout=True, tty=False, _preload_content=False)
    session.write_stdin("echo hello; exit 3\n")
    session.run_forever(timeout=20)
    assert (session.read_stdout(), session.returncode) == ("hello\n", 3)


def logs(core: client.CoreV1Api) -> None:
    assert core.read_namespaced_pod_log("web", NAMESPACE) == "started\n"
    following = watch.Watch()
    for line in following.stream(core.read_namespaced_pod_log, "web", NAMESPACE):
        assert line == "started", line
        following.stop()


def forward_and_proxy(core: client.CoreV1Api) -> None:
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, "web", NAMESPACE, ports="8080")
    connection = forwarded.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    assert answer.endswith(b"a page\n"), answer
    assert forwarded.error(8080) is None
    assert core.connect_get_namespaced_pod_proxy_with_path("web:8080", NAMESPACE, "index.html") == "a page\n"


def patch_and_select(core: client.CoreV1Api) -> None:
    assert core.patch_namespaced_pod("web", NAMESPACE, {"metadata": {"labels": {"from": "python"}}}).metadata.labels["from"] == "python"
    assert [pod.metadata.name for pod in core.list_namespaced_pod(NAMESPACE, label_selector="from=python").items] == ["web"]
    status = 200
    try:
        core.read_namespaced_pod("nope", NAMESPACE)
    except client.ApiException as error:
        status = error.status
    assert status == 404


def dictionaries_and_dynamic_kinds(core: client.CoreV1Api) -> None:
    utils.create_from_dict(core.api_client, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "data": {"a": "b"}})
    assert core.read_namespaced_config_map("made", NAMESPACE).data == {"a": "b"}
    kinds = dynamic.DynamicClient(core.api_client).resources.get(api_version="v1", kind="ConfigMap")
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"c": "d"}}
    assert kinds.server_side_apply(namespace=NAMESPACE, name="applied", body=applied, field_manager="me").data.c == "d"
    core.delete_namespaced_config_map("made", NAMESPACE)
    kinds.delete(name="applied", namespace=NAMESPACE)
    assert not {"made", "applied"} & {one.metadata.name for one in core.list_namespaced_config_map(NAMESPACE).items}


def measure(core: client.CoreV1Api) -> None:
    told = client.CustomObjectsApi(core.api_client).list_namespaced_custom_object("metrics.k8s.io", "v1beta1", NAMESPACE, "pods")
    assert [item["metadata"]["name"] for item in told["items"]] == ["web"], told


def delete(core: client.CoreV1Api) -> None:
    since = core.list_namespaced_pod(NAMESPACE).metadata.resource_version
    assert core.delete_namespaced_pod("web", NAMESPACE).metadata.deletion_timestamp is not None
    watching = watch.Watch()
    kinds = []
    for event in watching.stream(core.list_namespaced_pod, NAMESPACE, resource_version=since, timeout_seconds=60):
        kinds.append(event["type"])
        if event["type"] == "DELETED":
            watching.stop()
    assert kinds[-1] == "DELETED", kinds


def main() -> None:
    config.load_kube_config()
    with contextlib.closing(client.ApiClient()) as api:
        core = client.CoreV1Api(api)
        for scene in (
            *(create_and_watch, execute, logs, forward_and_proxy),
            *(patch_and_select, dictionaries_and_dynamic_kinds, measure, delete),
        ):
            print(scene.__name__, flush=True)
            scene(core)
    print("everything worked")


if __name__ == "__main__":
    main()

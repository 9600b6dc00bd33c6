"""What the examples of the Python client ``kr8s`` do: create, wait, exec, logs, port-forward, label, watch, delete.

Run as a program by ``test_clients``, with KUBECONFIG set.
"""

from __future__ import annotations

import urllib.request
import warnings
from typing import Any

import kr8s
from kr8s.objects import ConfigMap, Pod

WEB = "echo started; mkdir /w; echo a page > /w/index.html; exec httpd -f -p 8080 -h /w"


def manifest(name: str, script: str) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox:1.28", "command": ["sh", "-c", script], "ports": [{"containerPort": 8080}]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}}, "spec": spec}


def create_and_wait(api: Any) -> None:
    pod = Pod(manifest("web", WEB), api=api)
    pod.create()
    pod.wait("condition=Ready", timeout=60)
    assert pod.ready()


def look_around(api: Any) -> None:
    assert api.version()["gitVersion"].startswith("v1.")
    assert api.whoami() == "podspace-admin"
    assert {"pods", "configmaps"} <= {resource["name"] for resource in api.api_resources()}
    assert [pod.name for pod in api.get("pods", namespace="default", label_selector="app=web")] == ["web"]


def execute(api: Any) -> None:
    done = Pod.get("web", namespace="default", api=api).exec(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3), done


def logs_and_forward(api: Any) -> None:
    pod = Pod.get("web", namespace="default", api=api)
    assert list(pod.logs()) == ["started"]
    with pod.portforward(remote_port=8080, local_port="auto") as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert answer.read() == b"a page\n"


def change_and_watch(api: Any) -> None:
    pod = Pod.get("web", namespace="default", api=api)
    pod.label({"from": "kr8s"})
    pod.annotate({"note": "short"})
    pod.refresh()
    assert (pod.labels["from"], pod.annotations["note"]) == ("kr8s", "short")
    kind, seen = next(iter(api.watch("pods", namespace="default", label_selector="from=kr8s")))
    assert (kind, seen.name) == ("ADDED", "web")


def configure(api: Any) -> None:
    settings = ConfigMap({"metadata": {"name": "settings", "namespace": "default"}, "data": {"a": "b"}}, api=api)
    settings.create()
    settings.patch({"data": {"c": "d"}})
    settings.refresh()
    assert dict(settings.data) == {"a": "b", "c": "d"}
    settings.delete()
    assert not settings.exists()


def delete(api: Any) -> None:
    pod = Pod.get("web", namespace="default", api=api)
    pod.delete()
    pod.wait("delete", timeout=60)
    assert not pod.exists()


def main() -> None:
    warnings.filterwarnings("ignore", message="Kubernetes version")  # it knows no 1.36 yet, and says so
    api = kr8s.api()
    for scene in (create_and_wait, look_around, execute, logs_and_forward, change_and_watch, configure, delete):
        print(scene.__name__, flush=True)
        scene(api)
    print("everything worked")


if __name__ == "__main__":
    main()

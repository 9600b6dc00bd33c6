"""Real kubectl, today's and 1.20, against the API server alone: what it prints and how it exits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.api.apiserver import Kubectl, running
from tests.support import kubectls

pytestmark = pytest.mark.root

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  shareProcessNamespace: true
  containers:
  - {name: nginx, image: "nginx:1.25"}
  - {name: shell, image: "busybox:1.28", stdin: true, tty: true}
"""


@pytest.fixture(scope="module", params=["today", "1.20"])
def kubectl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    folder: Path = tmp_path_factory.mktemp("api")
    is_old = request.param == "1.20"
    program = str(kubectls.old()) if is_old else shutil.which("kubectl")
    assert program
    with running(folder):
        yield Kubectl(program=program, folder=folder, is_old=is_old)


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> str:
    name = "t" + str(abs(hash(request.node.name)))[:10]
    assert kubectl("create", "namespace", name) == f"namespace/{name} created\n"
    return name


def test_version_and_resources_are_told(kubectl: Kubectl) -> None:
    assert "v1.36" in kubectl("version", "-o", "json")
    listed = kubectl("api-resources", "--no-headers")
    assert all(f"{name} " in listed for name in ("pods", "configmaps", "secrets", "namespaces", "nodes", "events", "leases"))
    assert "events.k8s.io/v1" in kubectl("api-versions")


def test_a_configmap_lives_its_whole_life(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    assert kubectl(*n, "create", "configmap", "c", "--from-literal=a=1") == "configmap/c created\n"
    again = kubectl(*n, "create", "configmap", "c", status=1)
    assert 'configmaps "c" already exists' in again
    assert kubectl(*n, "get", "cm", "c", "-o", "jsonpath={.data.a}") == "1"
    assert kubectl(*n, "label", "cm", "c", "x=y") == "configmap/c labeled\n"
    assert kubectl(*n, "annotate", "cm", "c", "n=m") == "configmap/c annotated\n"
    assert kubectl(*n, "patch", "cm", "c", "-p", '{"data":{"b":"2"}}') == "configmap/c patched\n"
    assert "x=y" in kubectl(*n, "get", "cm", "-l", "x=y", "--show-labels", "--no-headers")
    described = kubectl(*n, "describe", "cm", "c")
    assert "Labels:       x=y" in described
    assert kubectl(*n, "delete", "cm", "c").startswith('configmap "c" deleted')
    assert '(NotFound): configmaps "c" not found' in kubectl(*n, "get", "cm", "c", status=1)


def test_a_secret_is_created_and_shown_without_its_value(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    kubectl(*n, "create", "secret", "generic", "s", "--from-literal=k=hidden")
    assert kubectl(*n, "get", "secret", "s", "-o", "jsonpath={.data.k}") == "aGlkZGVu"
    described = kubectl(*n, "describe", "secret", "s")
    assert "k:  6 bytes" in described
    assert "hidden" not in described


def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl, namespace: str) -> None:
    apply = ("-n", namespace, "apply", "-f", "-")
    assert kubectl(*apply, stdin=POD) == "pod/web created\n"
    assert kubectl(*apply, stdin=POD) == "pod/web unchanged\n"
    assert kubectl(*apply, stdin=POD.replace("app: web", "app: other")) == "pod/web configured\n"
    refused = kubectl(*apply, stdin=POD.replace("shareProcessNamespace: true", "shareProcessNamespace: false"), status=1)
    assert "pod updates may not change fields other than" in refused
    strict = kubectl(*apply, stdin=POD.replace("shareProcess", "sharedProcess"), status=1)
    assert "sharedProcessNamespace" in strict


def test_both_ways_of_sharing_at_once_are_refused_as_kubernetes_words_it(kubectl: Kubectl, namespace: str) -> None:
    both = POD.replace("shareProcessNamespace: true", "shareProcessNamespace: true\n  hostPID: true").replace("name: web", "name: both")
    refused = kubectl("-n", namespace, "apply", "-f", "-", stdin=both, status=1)
    assert 'The Pod "both" is invalid: spec.securityContext.shareProcessNamespace: Invalid value: ' in refused
    assert "ShareProcessNamespace and HostPID cannot both be enabled" in refused


def test_a_pending_pod_is_shown_described_and_deleted(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    kubectl(*n, "apply", "-f", "-", stdin=POD)
    header, row = kubectl(*n, "get", "pods", "-o", "wide").splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert "NOMINATED NODE" in header
    assert row.split()[:4] == ["web", "0/2", "Pending", "0"]
    described = kubectl(*n, "describe", "pod", "web")
    assert "Status:       Pending" in described or "Status:           Pending" in described
    assert "QoS Class:" in described
    assert json.loads(kubectl(*n, "get", "pod", "web", "-o", "json"))["spec"]["shareProcessNamespace"] is True
    assert kubectl(*n, "logs", "web", "-c", "shell") == ""
    assert kubectl(*n, "delete", "pod", "web").startswith('pod "web" deleted')
    assert "No resources found" in kubectl.run(*n, "get", "pods").stderr


def test_run_set_image_and_replace(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    assert kubectl(*n, "run", "r", "--image=nginx:1.25") == "pod/r created\n"
    assert kubectl(*n, "set", "image", "pod/r", "r=nginx:1.26") == "pod/r image updated\n"
    live = kubectl(*n, "get", "pod", "r", "-o", "yaml")
    assert "image: nginx:1.26" in live
    assert kubectl(*n, "replace", "-f", "-", stdin=live.replace("nginx:1.26", "nginx:1.27")) == "pod/r replaced\n"
    assert kubectl(*n, "replace", "--force", "--grace-period=0", "-f", "-", stdin=live).endswith("pod/r replaced\n")


def test_wait_sees_a_condition_come_and_a_pod_go(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    kubectl(*n, "run", "w", "--image=nginx:1.25")
    waiting = kubectl.start(*n, "wait", "--for=condition=Ready", "pod/w", "--timeout=20s")
    patch = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
    raw = f"/api/v1/namespaces/{namespace}/pods/w/status"
    live = json.loads(kubectl(*n, "get", "pod", "w", "-o", "json"))
    live["status"] |= json.loads(patch)["status"]
    kubectl("replace", "--raw", raw, "-f", "-", stdin=json.dumps(live))
    assert waiting.communicate(timeout=30)[0] == "pod/w condition met\n"
    gone = kubectl.start(*n, "wait", "--for=delete", "pod/w", "--timeout=20s")
    kubectl(*n, "delete", "pod", "w", "--wait=false")
    said = gone.communicate(timeout=30)[0]
    assert gone.returncode == 0 or "not found" in said or "no matching resources" in said  # gone before kubectl's first look


def test_a_list_of_several_kinds_is_created_at_once(kubectl: Kubectl, namespace: str) -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}} for name in ("one", "two")],
    }
    assert kubectl("create", "-f", "-", stdin=json.dumps(listed)) == "configmap/one created\nconfigmap/two created\n"
    assert kubectl("-n", namespace, "get", "cm", "--chunk-size=1", "-o", "name").splitlines()[-2:] == ["configmap/one", "configmap/two"]


def test_the_server_says_what_one_may_do(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_a_dry_run_of_the_server_explain_and_diff_find_what_they_need_in_openapi(kubectl: Kubectl, namespace: str) -> None:
    dry = kubectl("-n", namespace, "apply", "--dry-run=server", "-f", "-", stdin=POD)
    assert dry == "pod/web created (server dry run)\n"
    assert kubectl("-n", namespace, "get", "pods", "-o", "name") == ""
    assert "share a single process namespace" in " ".join(kubectl("explain", "pod.spec.shareProcessNamespace").lower().split())
    changed = kubectl.run("-n", namespace, "diff", "-f", "-", stdin=POD)
    assert (changed.returncode, "+  name: web" in changed.stdout) == (1, True)


def test_exec_and_logs_reach_the_backend(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    bound = POD.replace("spec:", "spec:\n  nodeName: somewhere")
    kubectl(*n, "apply", "-f", "-", stdin=bound)
    done = kubectl.run(*n, "exec", "web", "-c", "shell", "--", "ls", "-l")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert "command terminated with exit code 3" in done.stderr
    assert kubectl(*n, "logs", "web", "-c", "shell", "--tail=1") == "hello\n"
    missing = kubectl.run(*n, "exec", "web", "-c", "nope", "--", "ls")
    assert "container nope is not valid for pod web" in missing.stderr


def test_a_watch_shows_what_comes(kubectl: Kubectl, namespace: str) -> None:
    n = ("-n", namespace)
    watching = kubectl.start(*n, "get", "configmaps", "-w", "--no-headers", "--field-selector=metadata.name=later")
    kubectl(*n, "create", "configmap", "later")
    assert watching.stdout is not None
    assert watching.stdout.readline().split()[:2] == ["later", "0"]
    watching.terminate()
    watching.communicate(timeout=10)


def test_a_namespace_is_deleted_with_all_it_holds(kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "apply", "-f", "-", stdin=POD)
    assert kubectl("delete", "namespace", namespace, "--timeout=20s") == f'namespace "{namespace}" deleted\n'
    assert "NotFound" in kubectl("get", "namespace", namespace, status=1)
    assert "this namespace may not be deleted" in kubectl("delete", "namespace", "default", status=1)


def test_drain_evicts(kubectl: Kubectl, namespace: str) -> None:
    node = f"node-{namespace}"
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}))
    bound = POD.replace("spec:", f"spec:\n  nodeName: {node}\n  terminationGracePeriodSeconds: 0").replace("name: web", "name: bound")
    kubectl("-n", namespace, "create", "-f", "-", stdin=bound)
    assert kubectl("get", "node", node, "--no-headers").split()[1] == "Unknown"
    kubectl("drain", node, "--force", "--timeout=20s")
    assert kubectl("-n", namespace, "get", "pods", "-o", "name") == ""
    kubectl("uncordon", node)
    kubectl("describe", "node", node)
    kubectl("delete", "node", node)

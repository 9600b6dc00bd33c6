"""Pods that really run under server-side apply, quotas and limits, and reached through the API's proxy."""

from __future__ import annotations

import json

import pytest

from tests.conformance.kubectl.conftest import Kubectl
from tests.conformance.kubectl.pods import WEB, container, pod
from tests.support.server import Server

pytestmark = pytest.mark.root


def managers(podspace: Server, name: str) -> set[tuple[str, str, str]]:
    shown = json.loads(podspace.kubectl("get", "pod", name, "-o", "json", "--show-managed-fields"))
    entries = shown["metadata"]["managedFields"]
    return {(entry["manager"], entry["operation"], entry.get("subresource", "")) for entry in entries}


def test_the_kubelet_owns_the_status_of_a_pod_that_is_applied_again_and_again(kubectl: Kubectl, podspace: Server) -> None:
    name = "owned-old" if kubectl.is_old else "owned"
    manifest = json.dumps(pod(name))
    assert kubectl("apply", "--server-side", "-f", "-", stdin=manifest) == f"pod/{name} serverside-applied\n"
    podspace.wait_ready(name)
    assert managers(podspace, name) == {("kubectl", "Apply", ""), ("kubelet", "Update", "status")}
    before = podspace.pod(name)
    assert kubectl("apply", "--server-side", "-f", "-", stdin=manifest) == f"pod/{name} serverside-applied\n"
    assert podspace.pod(name)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    kubectl("label", "pod", name, "more=1")
    assert ("kubectl-label", "Update", "") in managers(podspace, name)
    conflict = kubectl(
        "apply", "--server-side", "--field-manager=x", "-f", "-", stdin=json.dumps(pod(name, labels={"more": "2"})), status=1
    )
    assert 'conflict with "kubectl-label" using v1: .metadata.labels.more' in conflict


def test_a_page_is_fetched_from_a_pod_through_the_api(kubectl: Kubectl, podspace: Server) -> None:
    if kubectl.is_old:
        return  # the same request
    podspace.apply(
        pod("page", container("c", "sh", "-c", WEB, readinessProbe={"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}))
    )
    podspace.wait_ready("page")
    assert kubectl("get", "--raw", "/api/v1/namespaces/default/pods/page:8080/proxy/index.html") == "a page\n"
    refused = kubectl("get", "--raw", "/api/v1/namespaces/default/pods/page:8081/proxy/", status=1)
    assert "connect: connection refused" in refused


def test_a_quota_is_shown_and_holds(kubectl: Kubectl) -> None:
    namespace = "quota-old" if kubectl.is_old else "quota"
    n = ("-n", namespace)
    kubectl("create", "namespace", namespace)
    assert kubectl(*n, "create", "quota", "few", "--hard=pods=1,requests.cpu=1") == "resourcequota/few created\n"
    sized = container(resources={"requests": {"cpu": "100m"}})
    for attempt, status in (("one", 0), ("two", 1)):
        answer = kubectl(*n, "create", "-f", "-", stdin=json.dumps(pod(attempt, sized)), status=status)
    assert 'pods "two" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1' in answer
    described = kubectl(*n, "describe", "quota", "few")
    assert [line.split() for line in described.splitlines() if line.startswith(("pods", "requests.cpu"))] == [
        ["pods", "1", "1"],
        ["requests.cpu", "100m", "1"],
    ]
    assert "pods: 1/1" in kubectl(*n, "get", "quota")
    kubectl("delete", "namespace", namespace)

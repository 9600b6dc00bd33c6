"""Defaults, admission and QoS classes that stand without recordings."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.kube import admission, defaults, images, names, qos
from podspace.kube.json import JSON


def _pod(**spec: Any) -> JSON:
    obj: JSON = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "busybox:1.28", "resources": {}}], **spec}}
    defaults.apply("Pod", obj)
    return obj


def test_defaulting_twice_changes_nothing() -> None:
    obj = _pod(hostNetwork=True, volumes=[{"name": "v"}])
    again = _pod(hostNetwork=True, volumes=[{"name": "v"}])
    defaults.apply("Pod", again)
    assert again == obj


def test_sharing_of_the_process_namespace_is_never_made_up() -> None:
    assert "shareProcessNamespace" not in _pod()["spec"]
    assert _pod(shareProcessNamespace=False)["spec"]["shareProcessNamespace"] is False


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("r.io:5000/x", "Always"),
        ("r.io:5000/x:1", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "a" * 64, "Always"),
        ("<your-private-image>", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert images.pull_policy(image) == policy


def test_a_negative_grace_period_becomes_one_second() -> None:
    assert _pod(terminationGracePeriodSeconds=-1)["spec"]["terminationGracePeriodSeconds"] == 1
    assert _pod(terminationGracePeriodSeconds=0)["spec"]["terminationGracePeriodSeconds"] == 0


def test_the_deprecated_service_account_field_mirrors_the_new_one() -> None:
    assert _pod(serviceAccount="x")["spec"]["serviceAccountName"] == "x"
    assert _pod(serviceAccountName="y", serviceAccount="x")["spec"]["serviceAccount"] == "y"


def test_host_network_pods_get_host_ports() -> None:
    container = {"name": "a", "image": "x", "resources": {}, "ports": [{"containerPort": 80}]}
    assert _pod(hostNetwork=True, containers=[container])["spec"]["containers"][0]["ports"] == [
        {"hostPort": 80, "containerPort": 80, "protocol": "TCP"}
    ]


def test_tolerations_of_the_user_come_first_and_are_not_doubled() -> None:
    own = {"operator": "Exists"}
    obj = _pod(tolerations=[own])
    admission.admit_pod(obj)
    assert obj["spec"]["tolerations"] == [own]


def test_a_system_priority_class_has_its_number() -> None:
    obj = _pod(priorityClassName="system-node-critical")
    admission.admit_pod(obj)
    assert obj["spec"]["priority"] == 2000001000


def test_the_service_account_brings_a_token_into_every_container_without_one() -> None:
    own = {"name": "own", "mountPath": admission.TOKEN_MOUNT}
    second = {"name": "b", "image": "x", "resources": {}, "volumeMounts": [own]}
    obj = _pod(serviceAccountName="web")
    obj["spec"]["containers"].append(second)
    admission.admit_service_account(obj, {"imagePullSecrets": [{"name": "pull"}]})
    spec = obj["spec"]
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": admission.TOKEN_MOUNT}]
    assert spec["containers"][1]["volumeMounts"] == [own]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["serviceAccount"] == spec["serviceAccountName"] == "web"


def test_the_default_account_brings_its_name_and_pull_secrets_and_a_token_only_if_asked_for() -> None:
    obj = _pod()
    admission.admit_service_account(obj, {"imagePullSecrets": [{"name": "pull"}]})
    assert (obj["spec"]["serviceAccountName"], obj["spec"]["imagePullSecrets"]) == ("default", [{"name": "pull"}])
    assert "volumes" not in obj["spec"]
    for obj, account in ((_pod(automountServiceAccountToken=True), {}), (_pod(), {"automountServiceAccountToken": True})):
        admission.admit_service_account(obj, account)
        assert obj["spec"]["volumes"]


def test_a_pod_without_containers_is_left_to_validation() -> None:
    obj: JSON = {"metadata": {"name": "p"}, "spec": {"containers": None, "initContainers": [{"name": "i", "image": "x", "resources": {}}]}}
    defaults.apply("Pod", obj)
    admission.admit_service_account(obj, {"automountServiceAccountToken": True})
    assert obj["spec"]["containers"] is None


@pytest.mark.parametrize("where", ["pod", "account"])
def test_automount_can_be_refused(where: str) -> None:
    obj = _pod(serviceAccountName="web", **({"automountServiceAccountToken": False} if where == "pod" else {}))
    admission.admit_service_account(obj, {} if where == "pod" else {"automountServiceAccountToken": False})
    assert "volumes" not in obj["spec"]


def test_generated_names_are_cut_and_have_no_vowels() -> None:
    name = names.generate("x" * 80)
    assert len(name) == 63
    assert set(name[58:]) <= set("bcdfghjklmnpqrstvwxz2456789")


_FULL = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"limits": {"example.com/x": "1"}, "requests": {"example.com/x": "1"}}], "BestEffort"),
        ([_FULL], "Guaranteed"),
        ([_FULL, {}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}], "Burstable"),
        ([{"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
    ],
)
def test_the_qos_class_follows_requests_and_limits(resources: list[JSON], expected: str) -> None:
    assert qos.qos_class({"containers": [{"resources": one} for one in resources]}) == expected


def test_init_containers_count_for_the_qos_class() -> None:
    assert qos.qos_class({"containers": [{"resources": _FULL}], "initContainers": [{"resources": {}}]}) == "Burstable"


def test_pod_level_resources_decide_the_qos_class() -> None:
    assert qos.qos_class({"containers": [{"resources": {}}], "resources": _FULL}) == "Guaranteed"

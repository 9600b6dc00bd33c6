"""What a node refuses, what it cannot hold a container to, and whether there is room."""

from __future__ import annotations

from typing import Any

import pytest

from podspace.node import admission, identity, requests
from podspace.node.environment import ConfigError
from tests.unit.node.builders import pod


def raw(spec: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]} | (spec or {})}


def asking(cpu: str = "0", memory: str = "0") -> dict[str, Any]:
    return {"name": "a", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": memory}}}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, None),
        ({"activeDeadlineSeconds": 5}, None),
        ({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, None),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "SysctlForbidden"),
        ({"hostNetwork": True, "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, "SysctlForbidden"),
        ({"hostIPC": True, "securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}}, "SysctlForbidden"),
    ],
)
def test_a_pod_bound_by_hand_is_refused_for_a_reason(spec: dict[str, Any], reason: str | None) -> None:
    refused = admission.refusal(raw(spec))
    assert (refused.reason if refused else None) == reason


def with_port(host_port: int, *, role: str = "containers", **more: Any) -> dict[str, Any]:
    port = {"containerPort": host_port, "hostPort": host_port, "protocol": "TCP"} | more.pop("port", {})
    container = {"name": "p", "image": "x", "ports": [port]} | more.pop("container", {})
    return raw({role: [container], **({"containers": [{"name": "a", "image": "x"}]} if role != "containers" else {}), **more})


@pytest.mark.parametrize(
    ("other", "clash"),
    [
        (with_port(80), True),
        (with_port(80, hostNetwork=True), True),
        (with_port(81), False),
        (with_port(80, port={"protocol": "UDP"}), False),
        (with_port(80, port={"hostIP": "127.0.0.1"}), True),
        (with_port(80, role="initContainers"), False),
        (with_port(80, role="initContainers", container={"restartPolicy": "Always"}), True),
    ],
)
def test_two_pods_cannot_have_one_port_of_the_host(other: dict[str, Any], clash: bool) -> None:
    refused = admission.refusal(with_port(80), [raw(), other])
    assert (refused.reason if refused else None) == ("NodePorts" if clash else None)


def test_a_pod_needs_room_beside_those_that_run() -> None:
    node = {"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}
    running = [raw({"containers": [asking("1500m")]})]
    assert requests.insufficient(raw({"containers": [asking("500m")]}), requests.load(running), node) == []
    assert requests.insufficient(raw({"containers": [asking("501m")]}), requests.load(running), node) == ["Insufficient cpu"]
    greedy = raw({"containers": [asking("3", "2Gi")]})
    assert requests.insufficient(greedy, requests.load([]), node) == ["Insufficient cpu", "Insufficient memory"]


def test_init_containers_count_as_long_as_they_run_and_sidecars_always() -> None:
    sidecar = asking("100m") | {"restartPolicy": "Always"}
    assert requests.of_pod({"containers": [asking("200m")], "initContainers": [sidecar, asking("250m")]})["cpu"] == 350
    assert requests.of_pod({"containers": [asking("200m")], "initContainers": [sidecar, asking("50m")]})["cpu"] == 300


@pytest.mark.parametrize(
    ("security", "image_user", "words"),
    [
        ({"runAsNonRoot": True}, "", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, "0:33", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, "www-data", "container has runAsNonRoot and image has non-numeric user (www-data)"),
        ({"runAsNonRoot": True, "runAsUser": 0}, "5", "container's runAsUser breaks non-root policy"),
    ],
)
def test_root_is_refused_where_nobody_may_be_root(security: dict[str, Any], image_user: str, words: str) -> None:
    made = pod({"securityContext": security})
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace(")", r"\)")):
        identity.check_non_root(made, made.containers[0], image_user)


@pytest.mark.parametrize(
    ("security", "image_user"), [({}, ""), ({"runAsNonRoot": True}, "7"), ({"runAsNonRoot": True, "runAsUser": 7}, "")]
)
def test_others_may_run(security: dict[str, Any], image_user: str) -> None:
    made = pod({"securityContext": security})
    identity.check_non_root(made, made.containers[0], image_user)


@pytest.mark.parametrize("user", ["00", "0:5", "000:0"])
def test_there_are_many_ways_to_write_root(user: str) -> None:
    made = pod({"securityContext": {"runAsNonRoot": True}})
    with pytest.raises(ConfigError, match="will run as root"):
        identity.check_non_root(made, made.containers[0], user)

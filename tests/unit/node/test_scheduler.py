from __future__ import annotations

from typing import Any

import pytest

from podspace.node import scheduler, support

NODE: dict[str, Any] = {"metadata": {"name": "n", "labels": {"disk": "ssd", "cores": "8"}}, "spec": {}}
CONTAINERS = [{"name": "a", "image": "x"}]
HOPELESS = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


def misfit(spec: dict[str, Any], node: dict[str, Any] | None = NODE) -> str | None:
    return scheduler.misfit({"metadata": {"name": "p"}, "spec": {"containers": CONTAINERS} | spec}, node)


def affinity(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)}]
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}


def test_a_plain_pod_fits() -> None:
    assert misfit({}) is None


def test_a_selector_must_match_the_nodes_labels() -> None:
    assert misfit({"nodeSelector": {"disk": "ssd"}}) is None
    assert misfit({"nodeSelector": {"disk": "hdd"}}) == f"1 node(s) didn't match Pod's node affinity/selector. {HOPELESS}"


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}, True),
        ({"key": "disk", "operator": "NotIn", "values": ["ssd"]}, False),
        ({"key": "gpu", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "DoesNotExist"}, True),
        ({"key": "cores", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["4"]}, False),
    ],
)
def test_required_affinity_is_obeyed(expression: dict[str, Any], fits: bool) -> None:
    assert (misfit(affinity(expression)) is None) is fits


def test_a_cordoned_or_tainted_node_takes_only_what_tolerates_it() -> None:
    cordoned = NODE | {"spec": {"unschedulable": True}}
    assert misfit({}, cordoned) == f"1 node(s) were unschedulable. {HOPELESS}"
    tainted = NODE | {"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}
    assert misfit({}, tainted) == f"1 node(s) had untolerated taint(s). {HOPELESS}"
    assert misfit({"tolerations": [{"operator": "Exists"}]}, tainted) is None
    assert misfit({"tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}]}, tainted) is None


def test_what_means_nothing_on_linux_is_no_reason_to_refuse() -> None:
    harmless = {"windowsOptions": {"runAsUserName": "x", "hostProcess": True}, "seLinuxOptions": {"level": "s0"}}
    assert misfit({"securityContext": harmless, "containers": [{"name": "c", "securityContext": harmless}]}) is None


def test_what_is_not_honoured_is_named_and_not_run() -> None:
    labels = {"seLinuxOptions": {"type": "x"}}
    said = misfit({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}], "securityContext": labels})
    volume = "spec.volumes[0].nfs (NFS volumes need a cluster's storage)"
    assert said == f"podspace does not honour {volume}, spec.securityContext.seLinuxOptions.type (podspace labels nothing for SELinux)."


def test_every_kind_of_volume_is_either_made_or_named() -> None:
    def refused(source: dict[str, str]) -> list[tuple[str, str]]:
        volumes = [{"name": "v", "nfs": source}, {"name": "w", "emptyDir": {}}]
        return [(path, why) for path, why in support.unsupported({"spec": {"containers": CONTAINERS, "volumes": volumes}})]

    assert refused({}) == []  # nothing is asked of it
    assert refused({"server": "s", "path": "/"}) == [("spec.volumes[0].nfs", "NFS volumes need a cluster's storage")]


def test_those_of_higher_priority_come_first_then_those_that_have_waited_longest() -> None:
    def waiting(name: str, priority: int, second: int, **spec: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{second:02d}Z"}, "spec": {"priority": priority} | spec}

    pods = [waiting("late", 0, 9), waiting("early", 0, 1), waiting("high", 7, 5), waiting("runs", 9, 0, nodeName="n")]
    assert [pod["metadata"]["name"] for pod in scheduler.in_turn(pods)] == ["high", "early", "late"]

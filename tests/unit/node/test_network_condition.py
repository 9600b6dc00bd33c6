"""The Node's Ready condition follows the network's."""

from __future__ import annotations

from typing import Any

from podspace.node import network_condition

NODE: dict[str, Any] = {"status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}]}}


def ready(node: dict[str, Any] | None) -> dict[str, Any]:
    assert node is not None
    found: dict[str, Any] = node["status"]["conditions"][1]
    return found


def test_the_condition_changes_with_the_network_and_keeps_the_time_of_the_change() -> None:
    broken = network_condition.with_ready(NODE, "cni plugin not initialized", 0)
    assert broken is not None
    assert ready(broken) == {
        "type": "Ready",
        "status": "False",
        "reason": "KubeletNotReady",
        "message": "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
        "message:Network plugin returns error: cni plugin not initialized",
        "lastHeartbeatTime": "1970-01-01T00:00:00Z",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
    other = network_condition.with_ready(broken, "another", 5)
    assert ready(other)["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    mended = network_condition.with_ready(broken, "", 9)
    assert mended is not None
    assert ready(mended)["lastTransitionTime"] == "1970-01-01T00:00:09Z"
    assert mended["status"]["conditions"][0] == NODE["status"]["conditions"][0]
    assert network_condition.with_ready(mended, "", 10) is None

"""The Node is Ready as long as Pods can have a network: with CNI that is once somebody has configured it.

A service of ``daemon``'s. Source: kubelet pkg/kubelet/nodestatus/setters.go ReadyCondition, pkg/kubelet/kubelet.go updateRuntimeUp.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time

from podspace import errors
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.runtime.engine import Engine
from podspace.store.store import Store

log = logging.getLogger(__name__)


def in_words(problem: str) -> str:
    """As a kubelet says it of its runtime."""
    said = f"NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: {problem}"
    return f"container runtime network not ready: {said}"


async def follow(store: Store, engine: Engine, node_name: str) -> None:
    """Keep the condition true until cancelled."""
    changed = asyncio.Event()
    engine.on_network_change(changed.set)
    while True:
        problem = await engine.network_problem()
        try:
            await store.mutate("nodes", "", node_name, functools.partial(with_ready, problem=problem, now=time.time()))
        except errors.PodspaceError as error:
            log.warning("the Node's condition is not written: %s", error)
        await changed.wait()
        changed.clear()


def with_ready(node: JSON, problem: str, now: float) -> JSON | None:
    """The Node with its condition as it is now, None if it says so already. Pure."""
    status = node.get("status") or {}
    fresh = (
        {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": in_words(problem)}
        if problem
        else {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "podspace is running Pods"}
    )
    conditions = status.get("conditions") or []
    before: JSON = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    if fresh.items() <= before.items():
        return None
    stamp = times.rfc3339(now)
    since = before.get("lastTransitionTime") if before.get("status") == fresh["status"] else stamp
    ready = fresh | {"lastHeartbeatTime": stamp, "lastTransitionTime": since}
    return node | {"status": status | {"conditions": [ready if c["type"] == "Ready" else c for c in conditions]}}

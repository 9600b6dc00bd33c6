"""Writing a Pod's status to the store when it differs, and dropping what the status no longer shows.

A kubelet keeps one dead instance of each container, for ``lastState`` and ``logs --previous``; older ones go.
"""

from __future__ import annotations

import time

from podspace import errors
from podspace.kube import managedfields, times
from podspace.kube.json import JSON
from podspace.node import log_files, pod_state, status
from podspace.node.admission import Refusal
from podspace.node.context import NodeContext
from podspace.node.pod import Pod
from podspace.node.pod_state import PodState
from podspace.runtime.model import ContainerState

MANAGER = "kubelet"  # who owns a Pod's status in managedFields


async def write(context: NodeContext, pod: Pod, state: PodState, *, ended: bool = False) -> None:
    """Compute the status and store it. A Pod that was replaced under the same name meanwhile is left alone.

    ended: nothing of a deleted Pod runs any more, so its phase is final.
    """
    observed = pod_state.observe(context.engine, pod, state)
    facts = status.Facts(
        observed=observed,
        previous=pod_state.previous_instances(context.engine, pod, observed),
        problems=dict(state.problems),
        messages=state.messages,
        resize=state.resize,
        host_ips=context.facts.ips,
        now=time.time(),
        ended=ended,
        failure=state.failure,
        done_with=state.done_with,
        restarting=state.restarting,
    )

    def put(raw: JSON) -> JSON | None:
        if raw["metadata"]["uid"] != pod.uid:
            return None
        fresh = status.compute(pod.with_raw(raw), facts)
        if fresh == raw.get("status"):
            return None
        return managedfields.with_status("Pod", "v1", raw, raw | {"status": fresh}, MANAGER, times.rfc3339(facts.now))

    try:
        await context.store.mutate("pods", pod.namespace, pod.name, put, durable=False)
    except errors.NotFound:
        return


async def reject(context: NodeContext, pod: Pod, refusal: Refusal) -> None:
    """Let a Pod fail that never began."""

    def put(raw: JSON) -> JSON | None:
        if raw["metadata"]["uid"] != pod.uid:
            return None
        fresh = {
            "observedGeneration": pod.generation,
            "phase": "Failed",
            "reason": refusal.reason,
            "message": f"Pod was rejected: {refusal.message}",
            "startTime": times.rfc3339(time.time()),
        }
        return raw | {"status": (raw.get("status") or {}) | fresh}

    try:
        await context.store.mutate("pods", pod.namespace, pod.name, put, durable=False)
    except errors.NotFound:
        return


def known_restarts(pod: Pod, name: str) -> int:
    """How often the container was started before this machine forgot it (a reboot empties /run); 0 for a new Pod."""
    statuses = pod.raw.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for entry in statuses.get(key) or ():
            if entry["name"] == name and entry.get("containerID"):
                return int(entry.get("restartCount", 0)) + 1
    return 0


async def collect_garbage(context: NodeContext, pod: Pod, name: str) -> None:
    """Remove all dead instances of one container but those the status tells of, and sandboxes that hold nothing any more.

    It tells of the newest, which may have ended again already, and of the one before it.
    """
    known = [s for s in pod_state.instances(context.engine, pod.uid) if s.config.name == name]
    older = sorted(known, key=lambda s: (s.config.attempt, s.created_nanos))[:-2]
    for old in (one for one in older if one.state is ContainerState.EXITED):
        await context.engine.remove_container(old.id)
        log_files.remove(old.log_path)
    for sandbox in pod_state.sandboxes_of(context.engine, pod.uid)[:-1]:
        if not context.engine.containers(sandbox.id):
            await context.engine.remove_sandbox(sandbox.id)

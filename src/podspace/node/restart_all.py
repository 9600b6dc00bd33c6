"""Restarting all containers of a Pod in place, because one of them exited with a code that asks for it.

The sandbox, its address and the volumes stay; every container is killed without grace or hook and the Pod begins again with its first
init container. Which instances are done with is written down before the first is killed, so that a server killed in between goes on.
Called by the Pod's worker. Source: KEP-5532; kubelet kuberuntime_manager.go.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from podspace.aio import together
from podspace.node import pod_state
from podspace.node.context import NodeContext
from podspace.node.decide import NANOS, Observed, restart_trigger
from podspace.node.pod import Pod, PodUid
from podspace.node.pod_state import PodState, crash_key
from podspace.runtime.model import ContainerId, ContainerState


def done_with(pods: Path, uid: PodUid) -> set[ContainerId]:
    """The instances that earlier restarts have left behind."""
    try:
        return {ContainerId(identifier) for identifier in json.loads(_file(pods, uid).read_text())}
    except (FileNotFoundError, ValueError):
        return set()


async def kill_all(context: NodeContext, pod: Pod, state: PodState, observed: Observed) -> None:
    """Kill what runs and count every instance there is as done with. Ephemeral containers live on. Raises: TimedOut, OSError."""
    trigger = restart_trigger(pod, observed)
    assert trigger is not None
    exited = observed.containers[trigger.name]
    ephemeral = {c.name for c in pod.ephemeral_containers}
    instances = [s for s in pod_state.instances(context.engine, pod.uid) if s.config.name not in ephemeral]
    state.done_with = {status.id for status in instances}
    _write(_file(context.settings.paths.pods, pod.uid), state.done_with)
    context.crashes.advance(crash_key(pod.uid, trigger), state.ended_at(trigger.name, exited.finished_nanos / NANOS))
    for status in instances:
        state.problems.pop(status.config.name, None)
        state.retry_at.pop(status.config.name, None)
    await finish(context, pod, state)


async def finish(context: NodeContext, pod: Pod, state: PodState) -> None:
    """Kill what still runs of the instances that are done with: now, or what a server that was killed meanwhile did not get to.

    Raises: TimedOut. Nothing may be started in their place before.
    """
    if not state.done_with:
        return
    instances = pod_state.instances(context.engine, pod.uid)
    running = [status for status in instances if status.id in state.done_with and status.state is not ContainerState.EXITED]
    for status in running:
        container = pod.find(status.config.name)
        words = f"Stopping container {status.config.name}, all containers will be restarted"
        context.recorder.normal(pod.raw, "Killing", words, field_path=container.field_path if container is not None else "")
    await together.every(context.engine.stop_container(status.id, 0) for status in running)


def _file(pods: Path, uid: PodUid) -> Path:
    return pods / uid / "restarted"


def _write(path: Path, identifiers: set[ContainerId]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(sorted(identifiers)))
    os.replace(fresh, path)

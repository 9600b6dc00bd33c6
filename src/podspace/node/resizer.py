"""Doing what ``resizing`` decides: granting resizes, changing the limits of cgroups, naming the containers that must be restarted.

Called by the Pod's worker in each round; cheap when nothing is to be done. The Pod's cgroup is raised before its containers' and lowered
after them, since version 1 lets none have more CPU time than the one above.
Source: kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go doPodResizeAction, validateMemoryResizeAction.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from podspace import errors
from podspace.kube.json import JSON
from podspace.node import neighbours, resizing, resources
from podspace.node.context import NodeContext
from podspace.node.decide import Observed
from podspace.node.pod import Container, Pod
from podspace.node.resizing import Resize
from podspace.runtime import model


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A running container and what it should have. ``changed``: cpu, memory or both; by requests or limits, in its cgroup or not."""

    container: Container
    status: model.ContainerStatus
    wanted: model.Resources
    changed: frozenset[str]
    in_cgroup: bool


def reconsider(context: NodeContext, raw: JSON, resize: Resize) -> bool:
    """Grant what the spec asks for, or note why not; return whether something was granted. Events are told once."""
    if not resize.differs(raw):
        resize.pending = None
        return False
    node = context.store.get("nodes", "", context.facts.name)
    if node is None:
        return False
    generation = raw["metadata"].get("generation", 1)
    why_not = resizing.misfit(raw, neighbours.admitted(context.store, raw), node)
    if why_not is None:
        resize.generation = generation
        resize.grant(raw)
        context.recorder.normal(raw, "ResizeStarted", f"Pod resize started: {resizing.summary(raw, generation)}")
        return True
    if why_not != resize.pending or generation != resize.generation:
        message = f"Pod resize {why_not.reason}: {resizing.summary(raw, generation, why_not.message)}"
        context.recorder.warning(raw, f"Resize{why_not.reason}", message)
    resize.pending, resize.generation = why_not, generation
    return False


async def settle(context: NodeContext, pod: Pod, resize: Resize, observed: Observed) -> tuple[Container, ...]:
    """Bring the running containers to what is allocated; return those that must be restarted for it.

    What the kernel refuses is told in the resize's condition and tried again in a later round.
    """
    if not resize.unsettled or not observed.ready:
        return ()
    _forget_restarted(resize, observed)
    due = _due(context, pod, resize, observed)
    restart = tuple(one.container for one in due if resizing.restarts(one.container.raw, one.changed))
    resize.restarting = {one.container.name: one.status.id for one in due if one.container in restart}
    try:
        await _update(context, pod, observed, [one for one in due if one.in_cgroup and one.container not in restart])
    except (errors.PodspaceError, OSError) as error:
        _failed(context, pod, resize, str(error))
        return restart
    resize.error = ""
    for name in {neighbours.WHOLE, *resize.actual} - {container.name for container in restart}:
        resize.actual.pop(name, None)
    if not restart:
        _done(context, pod, resize)
    return restart


def _forget_restarted(resize: Resize, observed: Observed) -> None:
    """A container that has been restarted has what is allocated to it."""
    for name, identifier in resize.restarting.items():
        if name in observed.containers and observed.containers[name].id != identifier:
            resize.actual.pop(name, None)


def _due(context: NodeContext, pod: Pod, resize: Resize, observed: Observed) -> list[_Due]:
    """The running containers that have something else than is allocated to them."""
    found = []
    for container in (*pod.init_containers, *pod.containers):
        status = observed.containers.get(container.name)
        if status is not None and status.state is model.ContainerState.RUNNING:
            wanted = resources.container_resources(pod.spec, container.raw, memory_capacity_bytes=context.facts.memory_bytes)
            in_cgroup = resizing.changed(status.config.resources, wanted)
            if changed := in_cgroup | resizing.asked_anew(resize, container.name):
                found.append(_Due(container=container, status=status, wanted=wanted, changed=changed, in_cgroup=bool(in_cgroup)))
    return found


async def _update(context: NodeContext, pod: Pod, observed: Observed, due: list[_Due]) -> None:
    """Raises: FailedPrecondition (the memory is in use), ToolError, OSError."""
    engine = context.engine
    assert observed.sandbox is not None
    for one in due:
        _check_memory(context, one)
    whole, before = resources.pod_resources(pod.spec), observed.sandbox.config.resources or model.Resources()
    if not due and before == dataclasses.replace(
        whole, pids_limit=before.pids_limit
    ):  # a Pod that has just begun has what is allocated to it
        return
    await engine.update_sandbox(observed.sandbox.id, _raised(before, whole))
    for one in due:
        await engine.update_resources(one.status.id, dataclasses.replace(one.wanted, hugepage_limit_bytes={}, unified={}))
    await engine.update_sandbox(observed.sandbox.id, whole)
    neighbours.weigh(context.store, engine, pod.spec)


def _raised(before: model.Resources, after: model.Resources) -> model.Resources:
    """The higher of both, where there was a limit before."""
    return dataclasses.replace(
        after,
        cpu_shares=max(before.cpu_shares, after.cpu_shares),
        cpu_quota_micros=max(before.cpu_quota_micros, after.cpu_quota_micros) if before.cpu_quota_micros else 0,
        memory_limit_bytes=max(before.memory_limit_bytes, after.memory_limit_bytes) if before.memory_limit_bytes else 0,
    )


def _check_memory(context: NodeContext, due: _Due) -> None:
    """A limit below what is in use would have the kernel kill the container."""
    before, after = due.status.config.resources.memory_limit_bytes, due.wanted.memory_limit_bytes
    if not after or (before and after >= before):
        return
    used = context.engine.memory_used(due.status.id)
    if used > after:
        words = f'attempting to set container "{due.container.name}" memory limit ({after}) below current usage ({used})'
        raise errors.FailedPrecondition(words)


def _failed(context: NodeContext, pod: Pod, resize: Resize, words: str) -> None:
    if words != resize.error:
        context.recorder.warning(pod.raw, "ResizeError", f"Pod resize error: {resizing.summary(pod.raw, resize.generation, words)}")
    resize.error, resize.in_progress = words, True


def _done(context: NodeContext, pod: Pod, resize: Resize) -> None:
    resize.unsettled = False
    resize.actual.clear()
    if resize.in_progress:
        resize.in_progress = False
        message = f"Pod resize completed: {resizing.summary(pod.raw, resize.generation)}"
        context.recorder.normal(pod.raw, "ResizeCompleted", message)

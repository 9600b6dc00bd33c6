"""Lifecycle hooks: postStart beside a container that has just started, and what preStop and postStart have in common.

A postStart hook is a task of its own, so that the Pod can be deleted while it runs; until it is done its container counts as being
created, and those that come after it wait (``decide``). preStop is run by ``ending``.
Source: kubelet pkg/kubelet/lifecycle/handlers.go, kuberuntime_container.go startContainer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from podspace import errors
from podspace.node import attempts, ending
from podspace.node.context import NodeContext
from podspace.node.handlers import Exec, Handler, HttpGet, Sleep
from podspace.node.pod import Container, Pod
from podspace.node.pod_state import PodState
from podspace.node.status import Problem
from podspace.runtime.model import ContainerId

log = logging.getLogger(__name__)


class PostStarts:
    """The postStart hooks under way of one Pod. Owned by its worker."""

    def __init__(self, context: NodeContext, state: PodState, tasks: asyncio.TaskGroup, *, wake: Callable[[], None]) -> None:
        self._context = context
        self._state = state
        self._tasks = tasks
        self._wake = wake
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, pod: Pod, container: Container, identifier: ContainerId, address: str) -> None:
        """Run the hook of a container that has just started, if it has one."""
        if container.post_start is None:
            return
        target = attempts.Target(engine=self._context.engine, container=identifier, address=address, ports=container.raw)
        self._state.starting.add(identifier)
        task = self._tasks.create_task(self._run(pod, container, container.post_start, target))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        for task in tuple(self._running):
            task.cancel()

    async def _run(self, pod: Pod, container: Container, handler: Handler, target: attempts.Target) -> None:
        try:
            if why := await run(self._context, pod, container, handler, target):
                await self._failed(pod, container, target, why)
        except (errors.PodspaceError, OSError) as error:
            log.warning("container %s: its postStart hook failed, and so did killing it for that: %s", target.container, error)
        except Exception:
            log.exception("pod %s: a bug in podspace: the postStart hook of %s", pod.full_name, container.name)
        finally:
            self._state.starting.discard(target.container)
            self._wake()

    async def _failed(self, pod: Pod, container: Container, target: attempts.Target, why: str) -> None:
        """A container whose hook fails is killed; its restart policy decides what then."""
        recorder = self._context.recorder
        recorder.warning(pod.raw, "FailedPostStartHook", "PostStartHook failed", field_path=container.field_path)
        recorder.normal(pod.raw, "Killing", "FailedPostStartHook", field_path=container.field_path)
        self._state.problems[container.name] = Problem(reason="PostStartHookError", message=why)
        await ending.end_container(self._context, pod, container, target, ending.Deadline.within(pod.grace_seconds))


async def run(context: NodeContext, pod: Pod, container: Container, handler: Handler, target: attempts.Target) -> str:
    """Carry out a hook, however long it takes; return why it failed, "" if it did not."""
    where = f'for Container "{container.name}" in Pod "{pod.full_name}" failed - error:'
    match handler:
        case Exec():
            said = await _exec(target, handler)
            return f"Exec lifecycle hook ([{' '.join(handler.command)}]) {where} {said}" if said else ""
        case HttpGet():
            from podspace.node import attempt_http

            said = await attempt_http.hook(context.recorder, pod, target, handler)
            return f"HTTP lifecycle hook ({handler.path}) {where} {said}" if said else ""
        case Sleep():
            await asyncio.sleep(handler.seconds)
            return ""
        case _:
            return f"Cannot run handler: invalid handler: {type(handler).__name__}"


async def _exec(target: attempts.Target, handler: Exec) -> str:
    try:
        done = await target.engine.exec_sync(target.container, handler.command, limit_bytes=attempts.OUTPUT_LIMIT_BYTES)
    except (errors.PodspaceError, OSError) as error:
        return f'{error}, message: ""'
    if done.exit_code == 0:
        return ""
    command = " ".join(handler.command)
    stderr, output = done.stderr.decode(errors="replace"), (done.stdout + done.stderr).decode(errors="replace")
    return f"command '{command}' exited with {done.exit_code}: {stderr}, message: \"{output}\""

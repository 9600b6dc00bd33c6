"""The end of one running container: its preStop hook, its turn, the stop signal, and after the grace the kill.

All of it happens within one grace period that may be shortened meanwhile. Used for the end of a Pod (``termination``) and for containers
that are stopped alone (``stopper``, ``hooks``). Source: kubelet kuberuntime_container.go killContainer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from podspace.aio import together
from podspace.aio.broadcast import Broadcast
from podspace.node import attempts
from podspace.node.context import NodeContext
from podspace.node.handlers import Sleep
from podspace.node.pod import Container, Pod

_TOO_LATE = 1  # of a hook, its deadline and the container's own end: the second came first
EXTENSION_SECONDS = 2.0  # what a container still gets to react to its stop signal when waiting has used up the grace


class Deadline:
    """When a grace is over. It may move while somebody waits for it; then ``moved`` tells."""

    def __init__(self, remaining: Callable[[], float], moved: Broadcast, *, given_up: Callable[[], bool] = lambda: False) -> None:
        """``remaining`` returns seconds, 0 when it is over; ``given_up`` whether there is to be no mercy beyond it."""
        self._remaining = remaining
        self._moved = moved
        self._given_up = given_up

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        """One that does not move."""
        end = time.monotonic() + seconds
        return cls(lambda: max(0.0, end - time.monotonic()), Broadcast())

    def remaining(self) -> float:
        return self._remaining()

    @property
    def given_up(self) -> bool:
        return self._given_up()

    def moves(self) -> Coroutine[Any, Any, bool]:
        """Return what to await: its next move after this call."""
        return self._moved.wait()

    async def passes(self) -> None:
        while (left := self.remaining()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.moves()


Turn = Callable[[], Coroutine[Any, Any, None]]


async def end_container(
    context: NodeContext,
    pod: Pod,
    container: Container | None,
    target: attempts.Target,
    deadline: Deadline,
    *,
    turn: Turn | None = None,
) -> None:
    """Return when nothing of the container is left. ``turn`` is waited for before its stop signal, as long as there is time.

    Cancelled: the signal may have been sent; calling again is safe, and runs the hook again. Raises: what ``stop_container`` raises.
    """
    hooked = container is not None and container.pre_stop is not None and deadline.remaining() > 0
    if hooked and container is not None:
        ended = await together.first(_pre_stop(context, pod, container, target), deadline.passes(), _gone(context, target))
        if ended == _TOO_LATE and not isinstance(container.pre_stop, Sleep):
            _tell_of_failed_hook(context, pod, container)
    if turn is not None:
        await together.first(turn(), deadline.passes())
    extended = time.monotonic() + EXTENSION_SECONDS if hooked or turn is not None else 0.0
    while True:
        moves = deadline.moves()  # before it is read: a move in between must not be missed
        grace = 0.0 if deadline.given_up else max(deadline.remaining(), extended - time.monotonic(), 0.0)
        if await together.first(context.engine.stop_container(target.container, grace), moves) == 0:
            return


async def _pre_stop(context: NodeContext, pod: Pod, container: Container, target: attempts.Target) -> None:
    from podspace.node import hooks  # it ends containers whose hook fails

    assert container.pre_stop is not None
    if await hooks.run(context, pod, container, container.pre_stop, target):
        _tell_of_failed_hook(context, pod, container)


def _tell_of_failed_hook(context: NodeContext, pod: Pod, container: Container) -> None:
    context.recorder.warning(pod.raw, "FailedPreStopHook", "PreStopHook failed", field_path=container.field_path)


async def _gone(context: NodeContext, target: attempts.Target) -> None:
    """Return when the container has ended by itself: there is nothing left to wait for."""
    await context.engine.wait_container(target.container)

"""Bringing a container's image onto the machine before it starts, in the kubelet's manners.

One ``Puller`` per Pod worker. ``check`` answers at once: the image's id, or why there is none yet; a pull runs as a task of the
worker's TaskGroup and wakes it when done, so one slow image does not hold up the Pod's other containers.
Source: kubelet pkg/kubelet/images/image_manager.go (policy, events, back-off, reasons).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from podspace import errors
from podspace.image.auth import Credential
from podspace.image.model import Image
from podspace.image.service import Images
from podspace.node.backoff import Backoff
from podspace.node.pod import Pod
from podspace.node.recorder import Recorder
from podspace.node.status import Problem

SYNC_SECONDS = 10.0  # after which a kubelet looks again, and ErrImagePull becomes ImagePullBackOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``image`` when it is there; else ``problem`` (None while a pull is under way) and when to ask again."""

    image: Image | None = None
    problem: Problem | None = None
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictOfAll:
    """``images`` when the container may start, in the order they were asked for; else the first that lacks says why."""

    images: tuple[Image, ...] | None = None
    problem: Problem | None = None
    retry_at: float | None = None


class Wanted(Protocol):
    """What wants an image: a container, or an image volume of one.

    ``field_path``: where events say it is, "" = the Pod as a whole; ``container_path``: where they say the container is.
    """

    @property
    def name(self) -> str: ...
    @property
    def image(self) -> str: ...
    @property
    def pull_policy(self) -> str: ...
    @property
    def field_path(self) -> str: ...
    @property
    def container_path(self) -> str: ...


_Need = tuple[str, str]  # (container name, image): a container whose image is changed starts afresh


def _need(wanted: Wanted) -> _Need:
    return wanted.name, wanted.image


class Puller:
    """The image side of one Pod."""

    def __init__(self, *, images: Images, recorder: Recorder, backoff: Backoff, tasks: asyncio.TaskGroup, wake: Callable[[], None]) -> None:
        self._images = images
        self._recorder = recorder
        self._backoff = backoff
        self._tasks = tasks
        self._wake = wake
        self._running: dict[_Need, asyncio.Task[None]] = {}
        self._pulled: dict[_Need, Image] = {}
        self._failed: dict[_Need, tuple[float, Problem]] = {}
        self._fresh: set[_Need] = set()  # failures nobody was told of yet

    def check_all(self, pod: Pod, wanted: Sequence[Wanted], credentials: tuple[Credential, ...]) -> VerdictOfAll:
        """Everything a container is started with: all is pulled at the same time, and none is used up before all are there."""
        verdicts = [self.check(pod, one, credentials) for one in wanted]
        images = [verdict.image for verdict in verdicts if verdict.image is not None]
        if len(images) == len(wanted):
            return VerdictOfAll(images=tuple(images))
        for one, verdict in zip(wanted, verdicts, strict=True):
            if verdict.image is not None:
                self._pulled[_need(one)] = verdict.image
        lacking = min((verdict for verdict in verdicts if verdict.image is None), key=lambda verdict: verdict.problem is None)
        times = [verdict.retry_at for verdict in verdicts if verdict.retry_at is not None]
        return VerdictOfAll(problem=lacking.problem, retry_at=min(times, default=None))

    def check(self, pod: Pod, container: Wanted, credentials: tuple[Credential, ...]) -> Verdict:
        """Return the container's image, starting a pull if the policy wants one. A pull is good for one start of the container."""
        if _need(container) in self._running:
            return Verdict()
        if image := self._pulled.pop(_need(container), None):
            return Verdict(image=image)
        try:
            present = self._images.find(container.image)
        except errors.BadRequest as error:
            return self._invalid_name(pod, container, error)
        if container.pull_policy == "Always" or (container.pull_policy == "IfNotPresent" and present is None):
            if held := self._held_back(pod, container):
                return held
            self._running[_need(container)] = self._tasks.create_task(self._pull(pod, container, credentials))
            return Verdict()
        if present is not None:
            words = f'Container image "{container.image}" already present on machine and can be accessed by the pod'
            self._say(pod, container, "Pulled", words)
            return Verdict(image=present)
        message = f'Container image "{container.image}" is not present with pull policy of Never'
        self._warn(pod, container, "ErrImageNeverPull", message)
        self._refuse(pod, container, "Error: ErrImageNeverPull")
        return Verdict(problem=Problem(reason="ErrImageNeverPull", message=message), retry_at=time.monotonic() + 10)

    def cancel(self) -> None:
        """Stop every pull of this Pod; another Pod that waits for the same image keeps it going."""
        for task in self._running.values():
            task.cancel()

    def _key(self, pod: Pod, container: Wanted) -> tuple[str, str, str]:
        return (pod.uid, "pull", container.image)

    def _held_back(self, pod: Pod, container: Wanted) -> Verdict | None:
        failure = self._failed.get(_need(container))
        if failure is None:
            return None
        failed_at, problem = failure
        until = self._backoff.until(self._key(pod, container), failed_at)
        if time.monotonic() >= until:
            del self._failed[_need(container)]
            return None
        if _need(container) in self._fresh:  # so that a failure is seen as such before it is seen as waiting
            self._fresh.discard(_need(container))
            return Verdict(problem=problem, retry_at=min((failed_at + until) / 2, failed_at + SYNC_SECONDS))
        self._tell_back_off(pod, container)
        if problem.reason == "ErrImagePull":
            message = f'Back-off pulling image "{container.image}": ErrImagePull: {problem.message}'
            problem = Problem(reason="ImagePullBackOff", message=message)
        return Verdict(problem=problem, retry_at=until)

    def _tell_back_off(self, pod: Pod, container: Wanted) -> None:
        self._say(pod, container, "BackOff", f'Back-off pulling image "{container.image}"')
        self._refuse(pod, container, "Error: ImagePullBackOff")

    def _invalid_name(self, pod: Pod, container: Wanted, error: errors.BadRequest) -> Verdict:
        message = f'Failed to apply default image tag "{container.image}": {error}'
        self._warn(pod, container, "InspectFailed", message)
        self._refuse(pod, container, "Error: InvalidImageName")
        return Verdict(problem=Problem(reason="InvalidImageName", message=message), retry_at=time.monotonic() + 300)

    async def _pull(self, pod: Pod, container: Wanted, credentials: tuple[Credential, ...]) -> None:
        self._say(pod, container, "Pulling", f'Pulling image "{container.image}"')
        started = time.monotonic()
        try:
            image = await self._images.pull(container.image, credentials=credentials)
        except (errors.PodspaceError, OSError) as error:
            self._pull_failed(pod, container, str(error))
        else:
            took = _duration(time.monotonic() - started)
            words = (
                f'Successfully pulled image "{container.image}" in {took} ({took} including waiting). Image size: {image.size_bytes} bytes.'
            )
            self._say(pod, container, "Pulled", words)
            self._backoff.forget(self._key(pod, container))
            self._pulled[_need(container)] = image
        finally:
            self._running.pop(_need(container), None)
        self._wake()

    def _pull_failed(self, pod: Pod, container: Wanted, message: str) -> None:
        now = time.monotonic()
        self._backoff.advance(self._key(pod, container), now)
        self._fresh.add(_need(container))
        self._failed[_need(container)] = (now, Problem(reason="ErrImagePull", message=message))
        self._warn(pod, container, "Failed", f'Failed to pull image "{container.image}": {message}')
        self._refuse(pod, container, "Error: ErrImagePull")

    def _say(self, pod: Pod, container: Wanted, reason: str, message: str) -> None:
        self._recorder.normal(pod.raw, reason, message, field_path=container.field_path)

    def _refuse(self, pod: Pod, container: Wanted, message: str) -> None:
        self._recorder.warning(pod.raw, "Failed", message, field_path=container.container_path)

    def _warn(self, pod: Pod, container: Wanted, reason: str, message: str) -> None:
        self._recorder.warning(pod.raw, reason, message, field_path=container.field_path)


def _duration(seconds: float) -> str:
    """As Go prints a duration rounded to milliseconds: ``842ms``, ``1.204s``."""
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"

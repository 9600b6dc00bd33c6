"""What a Pod needs next: a pure function of its spec, what is observed, and the clock.

The kubelet's ``computePodActions``, without its I/O. ``worker`` calls ``decide`` after every change and does what it says;
every rule about order, restarts and the end of a Pod is here and is tested without a container.
Source: kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go; KEP-753 (sidecars); KEP-277 (ephemeral containers).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from podspace.node.pod import Container, Pod, RestartPolicy, Role
from podspace.runtime.model import ContainerId, ContainerState, ContainerStatus, SandboxState, SandboxStatus

NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the engine says of a Pod now: its newest sandbox, and per container name the newest instance in that sandbox."""

    sandbox: SandboxStatus | None = None
    containers: Mapping[str, ContainerStatus] = field(default_factory=dict)
    replaced: frozenset[ContainerId] = frozenset()  # stopped because the spec wants another image: they start anew whatever the policy

    @property
    def ready(self) -> bool:
        return self.sandbox is not None and self.sandbox.state is SandboxState.READY


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in this order: kill the sandbox, make a new one, stop containers, start containers.

    ``wake_at``: when to decide again although nothing has happened (a back-off runs out); None = only at an event.
    ``waiting``: container name -> when its back-off ends.
    """

    kill_sandbox: bool = False
    create_sandbox: bool = False
    stop: tuple[Container, ...] = ()
    start: tuple[Container, ...] = ()
    wake_at: float | None = None
    waiting: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False  # nothing will ever run again: the Pod's phase is final


Due = Callable[[Container, float | None], float]  # (container, exited at; None = never ran) -> earliest start, by the caller's clock


def decide(pod: Pod, observed: Observed, *, now: float, due: Due) -> Plan:
    """Return what brings ``pod`` closer to its spec. ``due`` is the back-off: when a container that exited may start again."""
    if not observed.ready:
        return _without_sandbox(pod, observed)
    if is_finished(pod, observed):
        return Plan(finished=True, kill_sandbox=True)
    starts, initialized = _next_init(pod, observed)
    if initialized:
        starts += [c for c in pod.containers if wants_start(c, observed)]
    starts += [c for c in pod.ephemeral_containers if c.name not in observed.containers]
    return dataclasses.replace(_hold_back(starts, observed, now, due), stop=_outdated(pod, observed))


def _outdated(pod: Pod, observed: Observed) -> tuple[Container, ...]:
    """The containers that run an image the spec no longer names; nothing else of a running container can be changed."""
    candidates = (*(c for c in pod.init_containers if c.role is Role.SIDECAR), *pod.containers)
    return tuple(c for c in candidates if (status := observed.containers.get(c.name)) is not None and _is_outdated(c, status))


def _is_outdated(container: Container, status: ContainerStatus) -> bool:
    running = status.state is ContainerState.RUNNING
    return running and bool(status.config.image_reference) and status.config.image_reference != container.image


def _without_sandbox(pod: Pod, observed: Observed) -> Plan:
    """No sandbox, or its /pause died. A Pod that is over stays over; any other starts anew, init containers included."""
    if not _may_start_again(pod, observed):
        return Plan(finished=True, kill_sandbox=True)
    return Plan(kill_sandbox=observed.sandbox is not None, create_sandbox=True)


def _may_start_again(pod: Pod, observed: Observed) -> bool:
    """Whether any container would run in a new sandbox; with restartPolicy Never a Pod that ran once is not run again."""
    if not observed.containers:
        return True
    return any(_lives_on(c, observed) for c in pod.containers)


def _lives_on(container: Container, observed: Observed) -> bool:
    """Whether it would run in the next sandbox. Outside a shared pidns it outlives /pause, but without network it is to be replaced."""
    status = observed.containers.get(container.name)
    if status is not None and status.state is ContainerState.RUNNING:
        return container.restart_policy is not RestartPolicy.NEVER
    return wants_start(container, observed)


def wants_start(container: Container, observed: Observed) -> bool:
    """Whether the container should be running and is not."""
    status = observed.containers.get(container.name)
    if status is None:
        return True
    if status.state is not ContainerState.EXITED:
        return status.state is ContainerState.CREATED
    return status.id in observed.replaced or restarts(container, status)


def restarts(container: Container, status: ContainerStatus) -> bool:
    """Whether its restart policy brings an exited container back."""
    match container.restart_policy:
        case RestartPolicy.ALWAYS:
            return True
        case RestartPolicy.ON_FAILURE:
            return status.exit_code != 0
        case RestartPolicy.NEVER:
            return False


def is_finished(pod: Pod, observed: Observed) -> bool:
    """Whether no main container runs or will run again, or an init container failed for good."""
    statuses = observed.containers
    for container in pod.init_containers:
        status = statuses.get(container.name)
        if status is not None and _failed_for_good(container, status):
            return True
    return all(
        (status := statuses.get(c.name)) is not None and status.state is ContainerState.EXITED and not wants_start(c, observed)
        for c in pod.containers
    )


def _failed_for_good(container: Container, status: ContainerStatus) -> bool:
    if container.role is not Role.INIT or status.state is not ContainerState.EXITED:
        return False
    return status.exit_code != 0 and not restarts(container, status)


def _next_init(pod: Pod, observed: Observed) -> tuple[list[Container], bool]:
    """The init containers to start now, and whether the main ones may start. Sidecars that died come back at any time."""
    starts: list[Container] = []
    here = observed.sandbox.id if observed.sandbox is not None else ""
    mains_ran = any((ran := observed.containers.get(c.name)) is not None and ran.sandbox_id == here for c in pod.containers)
    for container in pod.init_containers:
        status = observed.containers.get(container.name)
        if container.role is Role.SIDECAR:
            if wants_start(container, observed):
                starts.append(container)
            if not mains_ran and (status is None or not status.started_nanos):
                return starts, False
            continue
        if mains_ran:
            continue  # initialised once is initialised: plain init containers are not run again in this sandbox
        if status is not None and status.state is ContainerState.EXITED and status.exit_code == 0:
            continue
        if wants_start(container, observed):
            starts.append(container)
        return starts, False
    return starts, True


def _hold_back(starts: list[Container], observed: Observed, now: float, due: Due) -> Plan:
    """Split what may start now from what its back-off holds."""
    start: list[Container] = []
    waiting: dict[str, float] = {}
    for container in starts:
        status = observed.containers.get(container.name)
        exited = status is not None and status.state is ContainerState.EXITED
        at = due(container, status.finished_nanos / NANOS if exited and status is not None else None)
        if at > now:
            waiting[container.name] = at
        else:
            start.append(container)
    return Plan(start=tuple(start), waiting=waiting, wake_at=min(waiting.values(), default=None))

"""What a Pod needs next: a pure function of its spec, what is observed, and the clock.

The kubelet's ``computePodActions``, without its I/O. ``worker`` calls ``decide`` after every change and does what it says;
every rule about order, restarts and the end of a Pod is here and is tested without a container.
Source: kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go; KEP-753 (sidecars); KEP-277 (ephemeral containers); KEP-5307 and
KEP-5532 (restart rules).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from podspace.node import probes
from podspace.node.pod import Container, Pod, RestartPolicy, Role
from podspace.node.probes import Health
from podspace.runtime.model import ContainerId, ContainerState, ContainerStatus, SandboxState, SandboxStatus

NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the engine says of a Pod now: its newest sandbox, and per container name the newest instance in that sandbox."""

    sandbox: SandboxStatus | None = None
    containers: Mapping[str, ContainerStatus] = field(default_factory=dict)
    replaced: frozenset[ContainerId] = frozenset()  # stopped because the spec wants another image: they start anew whatever the policy
    health: Mapping[ContainerId, Health] = field(default_factory=dict)
    starting: frozenset[ContainerId] = frozenset()  # running, and so is their postStart hook

    @property
    def ready(self) -> bool:
        return self.sandbox is not None and self.sandbox.state is SandboxState.READY

    def starts_anew(self, status: ContainerStatus) -> bool:
        """Whether it was stopped in order to start again, whatever its policy says of how it ended."""
        return status.id in self.replaced

    def health_of(self, container: Container, status: ContainerStatus) -> Health:
        """What its probes have found. Nothing runs, nothing is healthy; a container is not up before its postStart hook is done."""
        if status.state is not ContainerState.RUNNING or status.id in self.starting:
            return Health(started=False, ready=False)
        health = self.health.get(status.id) or probes.fresh(container.probes, None)
        return health if health.started else dataclasses.replace(health, ready=False)


class Why(Enum):
    """Why one container of a Pod is stopped, as the second half of the sentence ``Container x ...``."""

    CHANGED = "definition changed"
    STARTUP = "failed startup probe"
    LIVENESS = "failed liveness probe"
    RESIZED = "resize requires restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One container that is to stop while the Pod lives on. ``grace_seconds`` None = the Pod's."""

    container: Container
    why: Why
    again: bool  # it will be started again
    grace_seconds: int | None = None

    @property
    def words(self) -> str:
        if self.container.role is Role.SIDECAR:
            return f"Init container {self.container.name} {self.why.value}"
        after = ", will be restarted" if self.again and self.why is not Why.RESIZED else ""
        return f"Container {self.container.name} {self.why.value}{after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in this order: kill the sandbox, make a new one, stop containers, start containers.

    ``wake_at``: when to decide again although nothing has happened (a back-off runs out); None = only at an event.
    ``waiting``: container name -> when its back-off ends.
    """

    kill_sandbox: bool = False
    create_sandbox: bool = False
    stop: tuple[Stop, ...] = ()
    restart_all: bool = False  # kill every container, then begin again with the first init container in the same sandbox
    start: tuple[Container, ...] = ()
    wake_at: float | None = None
    waiting: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False  # nothing will ever run again: the Pod's phase is final


Due = Callable[[Container, float | None], float]  # (container, exited at; None = never ran) -> earliest start, by the caller's clock


def decide(pod: Pod, observed: Observed, *, now: float, due: Due) -> Plan:
    """Return what brings ``pod`` closer to its spec. ``due`` is the back-off: when a container that exited may start again."""
    if not observed.ready:
        return _without_sandbox(pod, observed)
    if trigger := restart_trigger(pod, observed):
        held = _hold_back([trigger], observed, now, due)
        return Plan(restart_all=True) if held.start else held
    if is_finished(pod, observed):
        return Plan(finished=True, kill_sandbox=True)
    starts, initialized = _next_init(pod, observed)
    if initialized:
        starts += [c for c in pod.containers if wants_start(c, observed)]
    starts += [c for c in pod.ephemeral_containers if _is_unstarted(observed.containers.get(c.name))]
    plan = _hold_back(starts, observed, now, due)
    return dataclasses.replace(plan, start=_in_turn(plan.start, observed), stop=_stops(pod, observed))


def restart_trigger(pod: Pod, observed: Observed) -> Container | None:
    """The container whose exit asks for a restart of all. Source: KEP-5532."""
    for container in (*pod.init_containers, *pod.containers):
        status = observed.containers.get(container.name)
        if status is not None and status.state is ContainerState.EXITED:
            rule = container.rule_for(status.exit_code)
            if rule is not None and rule.everything:
                return container
    return None


def _in_turn(starts: tuple[Container, ...], observed: Observed) -> tuple[Container, ...]:
    """What may start now. Containers start in order: a postStart hook holds back what comes after its container until it is done."""
    if any(status.id in observed.starting for status in observed.containers.values()):
        return tuple(c for c in starts if c.role is Role.EPHEMERAL)
    hooked = next((index for index, container in enumerate(starts) if container.post_start is not None), len(starts))
    return tuple(c for index, c in enumerate(starts) if index <= hooked or c.role is Role.EPHEMERAL)


def _stops(pod: Pod, observed: Observed) -> tuple[Stop, ...]:
    """The running containers that are to be killed; they start again, if they do, once they have ended."""
    candidates = (*(c for c in pod.init_containers if c.role is Role.SIDECAR), *pod.containers)
    found = (_stop(c, status, observed) for c in candidates if (status := observed.containers.get(c.name)) is not None)
    return tuple(stop for stop in found if stop is not None)


def _stop(container: Container, status: ContainerStatus, observed: Observed) -> Stop | None:
    if _is_outdated(container, status):
        return Stop(container=container, why=Why.CHANGED, again=True)
    failed = observed.health_of(container, status).failed
    if failed is None:
        return None
    why = Why.STARTUP if failed is probes.Kind.STARTUP else Why.LIVENESS
    again = container.restart_policy is not RestartPolicy.NEVER  # else its rules decide, by the code it ends with
    return Stop(container=container, why=why, again=again, grace_seconds=container.probes[failed].grace_seconds)


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
    if status is None or status.state is not ContainerState.EXITED:
        return _is_unstarted(status)
    return observed.starts_anew(status) or restarts(container, status)


def _is_unstarted(status: ContainerStatus | None) -> bool:
    """Not there, or left behind by a server that ended before it could start it."""
    return status is None or status.state is ContainerState.CREATED


def restarts(container: Container, status: ContainerStatus) -> bool:
    """Whether an exited container is brought back."""
    return container.restarts_after(status.exit_code)


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
    """The init containers to start now, and whether the main ones may start.

    A sidecar makes way for what comes after it once it is up (its hook and its startup probe done). Whatever has been passed is passed in
    this sandbox: plain init containers are not run again, and sidecars that die come back without holding up anybody.
    """
    starts: list[Container] = []
    for index, container in enumerate(pod.init_containers):
        status = observed.containers.get(container.name)
        passed = _ran_here((*pod.init_containers[index + 1 :], *pod.containers), observed)
        if container.role is Role.SIDECAR:
            if wants_start(container, observed):
                starts.append(container)
            if not passed and (status is None or not observed.health_of(container, status).started):
                return starts, False
            continue
        if passed or (status is not None and status.state is ContainerState.EXITED and status.exit_code == 0):
            continue
        if wants_start(container, observed):
            starts.append(container)
        return starts, False
    return starts, True


def _ran_here(containers: tuple[Container, ...], observed: Observed) -> bool:
    here = observed.sandbox.id if observed.sandbox is not None else ""
    return any((ran := observed.containers.get(c.name)) is not None and ran.sandbox_id == here for c in containers)


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

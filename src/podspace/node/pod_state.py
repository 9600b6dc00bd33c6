"""What one worker remembers between rounds, and how it sees the engine. Everything here can be rebuilt after a restart.

The engine's records are the truth about containers; this holds only what a kubelet keeps in memory too: why a container
waits, and which exits have been told.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from podspace.aio.broadcast import Broadcast
from podspace.node import configs, messages, remembered
from podspace.node.backoff import MAX_SECONDS
from podspace.node.context import NodeContext
from podspace.node.decide import NANOS, Observed, restarts
from podspace.node.pod import Container, Pod, PodUid
from podspace.node.pod_tokens import PodTokens
from podspace.node.probes import Health
from podspace.node.resizing import Resize
from podspace.node.status import Problem
from podspace.node.volumes import Prepared
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerId, ContainerState, ContainerStatus, SandboxStatus


@dataclass(slots=True, kw_only=True)
class PodState:
    """Mutable, owned by one worker."""

    uid: PodUid
    problems: dict[str, Problem] = field(default_factory=dict)
    retry_at: dict[str, float] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)  # container id -> termination message
    ends: dict[str, tuple[float, float]] = field(default_factory=dict)  # name -> when it last ended, by both clocks
    backed_off: dict[str, float] = field(default_factory=dict)  # name -> the end (monotonic) whose back-off was told
    told: set[ContainerId] = field(default_factory=set)
    deletion_seen: float | None = None  # when, by the monotonic clock
    deletion: Broadcast = field(default_factory=Broadcast)  # it was asked for, or is wanted sooner
    volumes: Prepared = field(default_factory=Prepared)
    volumes_stale: bool = True  # what the volumes show may have changed
    tokens: PodTokens = field(default_factory=PodTokens)  # those in the volumes
    replaced: set[ContainerId] = field(default_factory=set)  # being stopped, or stopped, to start anew
    starting: set[ContainerId] = field(default_factory=set)  # their postStart hook runs
    failure: Problem | None = None  # why the node puts an end to the Pod
    failure_grace_seconds: int | None = None  # how long that may take; None = the Pod's own grace
    done_with: set[ContainerId] = field(default_factory=set)  # instances that a restart of all containers has left behind
    restarting: bool = False  # all containers are being killed, to begin again with the first
    health: dict[ContainerId, Health] = field(default_factory=dict)  # of what has probes
    resize: Resize = field(default_factory=Resize)

    def due(self, context: NodeContext, container: Container, exited_at: float | None) -> float:
        """When a container may start: its crash back-off and what held it up before, whichever is later."""
        retry = self.retry_at.get(container.name, 0.0)
        if exited_at is None:
            return retry
        return max(retry, context.crashes.until(crash_key(self.uid, container), self.ended_at(container.name, exited_at)))

    def ended_at(self, name: str, exited_at: float) -> float:
        """When a container ended, by the clock that nobody sets (``time.monotonic``), noted when it is first asked for.

        A back-off counted by the clock of the wall would last for hours when that is put back, and be over at once when it is put forward.
        """
        known = self.ends.get(name)
        if known is None or known[0] != exited_at:
            ago = min(max(0.0, time.time() - exited_at), MAX_SECONDS)
            known = self.ends[name] = (exited_at, time.monotonic() - ago)
        return known[1]

    def note_exits(self, context: NodeContext, pod: Pod, observed: Observed) -> None:
        """Read the last words of what has ended since, and tell of those that failed."""
        for container in pod.every_container():
            status = observed.containers.get(container.name)
            if status is None or status.state is not ContainerState.EXITED or status.id in self.told:
                continue
            self.told.add(status.id)
            text = messages.termination_message(context.settings.paths.pods, pod, container, status)
            if text:
                self.messages[status.id] = text
            words = (text or messages.last_words(status)).strip()
            if status.exit_code != 0 and status.started_nanos:
                said = f": {words}" if words else ""
                message = f"Container {container.name} exited with code {status.exit_code}{said}"
                context.recorder.warning(pod.raw, "Exited", message, field_path=container.field_path)


def crash_key(uid: PodUid, container: Container) -> tuple[str, str, str]:
    return (uid, "crash", f"{container.name} {container.image}")  # another image gets another chance


def sandboxes_of(engine: Engine, uid: PodUid) -> list[SandboxStatus]:
    """This Pod's sandboxes, oldest first."""
    return sorted(engine.sandboxes(owner="node", uid=uid), key=lambda s: s.config.attempt)


def observe(engine: Engine, pod: Pod, state: PodState | None = None) -> Observed:
    """The newest sandbox and the newest instance of each container in it, with what ``state`` remembers of them.

    A main container that ended in an earlier sandbox and is not restarted counts as done in the newer one too.
    """
    if state is None:
        return _instances_that_count(engine, pod, ())
    seen = _instances_that_count(engine, pod, state.done_with)
    health, replaced, starting = dict(state.health), frozenset(state.replaced), frozenset(state.starting)
    return dataclasses.replace(seen, replaced=replaced, starting=starting, health=health)


def _instances_that_count(engine: Engine, pod: Pod, done_with: Collection[ContainerId]) -> Observed:
    sandboxes = sandboxes_of(engine, pod.uid)
    known = [status for status in known_instances(engine, pod) if status.id not in done_with]
    if not sandboxes:
        return Observed(containers={status.config.name: status for status in known})
    newest = sandboxes[-1]
    containers = {status.config.name: status for status in _by_age(engine.containers(newest.id)) if status.id not in done_with}
    for status in reversed(known):
        container = pod.find(status.config.name)
        done = status.state is ContainerState.EXITED and status.sandbox_id != newest.id
        if container in pod.containers and done and not restarts(container, status):
            containers.setdefault(container.name, status)
    return Observed(sandbox=newest, containers=containers)


def address(context: NodeContext, pod: Pod, observed: Observed) -> str:
    """Where the Pod's probes and hooks go unless they say otherwise; "" while it has no address."""
    return next(iter(addresses(context, pod, observed)), "")


def addresses(context: NodeContext, pod: Pod, observed: Observed) -> tuple[str, ...]:
    """The Pod's addresses, those of the host for a Pod in its network."""
    if pod.host_network:
        return context.facts.ips
    return observed.sandbox.ips if observed.sandbox is not None else ()


def previous_instances(engine: Engine, pod: Pod, observed: Observed) -> dict[str, ContainerStatus]:
    """Per container name, the newest instance that ended before the current one."""
    current = {status.id for status in observed.containers.values()}
    previous: dict[str, ContainerStatus] = {}
    for status in known_instances(engine, pod):
        if status.id not in current and status.state is ContainerState.EXITED:
            previous[status.config.name] = status
    return previous


def instances(engine: Engine, uid: PodUid) -> list[ContainerStatus]:
    """Every container the engine still knows of this Pod, dead ones included."""
    return [status for sandbox in sandboxes_of(engine, uid) for status in engine.containers(sandbox.id)]


def known_instances(engine: Engine, pod: Pod) -> list[ContainerStatus]:
    """Those, and what the status remembers of containers the engine knows nothing of; oldest first."""
    return _by_age(instances(engine, pod.uid) + _forgotten(engine, pod))


def _forgotten(engine: Engine, pod: Pod) -> list[ContainerStatus]:
    known = instances(engine, pod.uid)
    oldest = {status.config.name: status.config.attempt for status in reversed(_by_age(known))}
    ids = {status.id for status in known}
    found = remembered.instances(pod, configs.log_directory(pod, engine.log_root))
    return [s for s in found if s.id not in ids and s.config.attempt < oldest.get(s.config.name, s.config.attempt + 1)]


def newest_instance(engine: Engine, pod: Pod, name: str) -> ContainerStatus | None:
    """The latest instance of one container in any sandbox, running or not."""
    found = [status for status in known_instances(engine, pod) if status.config.name == name]
    return found[-1] if found else None


def last_exit(engine: Engine, pod: Pod, name: str) -> float:
    """When the container last ended, Unix seconds; 0 if never."""
    newest = newest_instance(engine, pod, name)
    return newest.finished_nanos / NANOS if newest is not None else 0.0


def _by_age(statuses: list[ContainerStatus]) -> list[ContainerStatus]:
    return sorted(statuses, key=lambda status: (status.config.attempt, status.created_nanos))

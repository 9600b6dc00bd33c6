"""Probes as rules: when a container is probed, and what a row of answers means. Pure; the clock and the answers are passed in.

``prober`` owns the timers and asks; ``decide`` and ``status`` read the ``Health`` that comes of it.
Source: kubelet pkg/kubelet/prober/worker.go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from podspace.kube.json import JSON
from podspace.node import handlers
from podspace.node.handlers import Handler

SETTLE_SECONDS = 1.0  # from when a new container is seen until its answers count
_EAGER_NETWORK = (0.0, 0.05, 0.15, 0.35, 0.7)  # a refused connection costs next to nothing
_EAGER_EXEC = (0.1,)  # a process of its own does not


class Kind(Enum):
    """Which of a container's probes; the value is how a kubelet begins a sentence about it."""

    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"

    @property
    def field(self) -> str:
        return f"{self.value.lower()}Probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe, with the API server's defaults filled in."""

    kind: Kind
    handler: Handler
    initial_delay_seconds: float
    timeout_seconds: float
    period_seconds: float
    success_threshold: int
    failure_threshold: int
    grace_seconds: int | None  # of the container, when this probe is why it is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of one instance of a container. Without a startup probe it has started, without a readiness probe it is ready."""

    started: bool = True
    ready: bool = True
    failed: Kind | None = None  # the probe that wants it killed


class Answer(Enum):
    SUCCESS = "success"
    WARNING = "warning"  # good, with a remark: a redirect that was not followed
    FAILURE = "failure"
    UNKNOWN = "unknown"  # the probe could not be carried out: says nothing of the container


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    answer: Answer
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """How often the same answer came in a row."""

    good: bool = False
    length: int = 0

    def then(self, good: bool) -> Streak:
        return Streak(good=good, length=self.length + 1 if good == self.good else 1)


def of(container: JSON) -> Mapping[Kind, Probe]:
    """The probes of a container."""
    return {kind: _parse(kind, container[kind.field]) for kind in Kind if container.get(kind.field)}


def _parse(kind: Kind, raw: JSON) -> Probe:
    grace = raw.get("terminationGracePeriodSeconds")
    return Probe(
        kind=kind,
        handler=handlers.parse(raw),
        initial_delay_seconds=float(raw.get("initialDelaySeconds") or 0),
        timeout_seconds=float(raw.get("timeoutSeconds") or 1),
        period_seconds=float(raw.get("periodSeconds") or 10),
        success_threshold=int(raw.get("successThreshold") or 1),
        failure_threshold=int(raw.get("failureThreshold") or 3),
        grace_seconds=None if grace is None else int(grace),
    )


def verdict(probe: Probe, streak: Streak) -> bool | None:
    """What the answers so far amount to; None = not enough of them to change anything."""
    threshold = probe.success_threshold if streak.good else probe.failure_threshold
    return streak.good if streak.length >= threshold else None


def after(health: Health, kind: Kind, good: bool) -> Health:
    """The container's health after a verdict."""
    if kind is Kind.READINESS:
        return dataclasses.replace(health, ready=good)
    if not good:
        return dataclasses.replace(health, failed=kind)
    return dataclasses.replace(health, started=True) if kind is Kind.STARTUP else health


def fresh(wanted: Mapping[Kind, Probe], known: JSON | None) -> Health:
    """The health of an instance that has not been probed by this server.

    ``known``: its entry of the Pod's status if it was running already, so that a restart of the server does not make it unready.
    """
    if known is None:
        return Health(started=Kind.STARTUP not in wanted, ready=Kind.READINESS not in wanted)
    return Health(
        started=Kind.STARTUP not in wanted or bool(known.get("started")), ready=Kind.READINESS not in wanted or bool(known.get("ready"))
    )


def due(wanted: Mapping[Kind, Probe], health: Health) -> frozenset[Kind]:
    """Which probes are to run now: first the startup probe alone, then the others until one of them wants the container killed."""
    if health.failed is not None:
        return frozenset()
    if not health.started:
        return frozenset({Kind.STARTUP} & wanted.keys())
    return frozenset(wanted.keys() - {Kind.STARTUP})


def eager_tries(probe: Probe) -> tuple[float, ...]:
    """Seconds after a container's start at which to ask early, before the answers count.

    A kubelet sees a container about a second after its start; a program that listens sooner need not wait for that second to be over.
    A failure so early says nothing and is not told.
    """
    if probe.initial_delay_seconds > 0 or probe.kind is Kind.LIVENESS:
        return ()
    return _EAGER_EXEC if isinstance(probe.handler, handlers.Exec) else _EAGER_NETWORK

"""metrics.k8s.io: what ``kubectl top`` asks for. Nothing is measured until somebody asks.

Called by ``dispatch``. A rate needs two readings. The first is the one that the question before has left, if that is not long ago; else
it is taken now, and the second a second later. So an idle server does nothing, and who asks again and again waits the first time only.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from podspace import errors
from podspace.api import selection, shape
from podspace.api.call import Call
from podspace.kube import metrics
from podspace.kube.json import JSON
from podspace.kube.metrics import Reading

SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
_NANOS = 1e9

Readings = Mapping[str, Reading]  # by container


class Meter(Protocol):
    """Reads counters. Objects are those of the store: read only."""

    def pod(self, pod: JSON) -> Readings:
        """Each running container's; empty if none runs."""

    def node(self, node: JSON) -> Reading | None:
        """The machine's; None if it is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Two readings of an object, so many seconds apart."""

    obj: JSON
    before: Readings
    readings: Readings
    seconds: float

    def usages(self) -> dict[str, JSON]:
        return {name: metrics.usage(self.before.get(name), reading) for name, reading in self.readings.items()}

    def stats(self, now: float) -> dict[str, JSON]:
        return {name: metrics.stats(self.before.get(name), reading, now=now) for name, reading in self.readings.items()}


class Sampler:
    """Keeps the last reading of whatever was asked about of late."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._before: dict[str, tuple[int, Readings]] = {}

    async def pods(self, pods: Sequence[JSON], now: Callable[[], float]) -> list[JSON]:
        """PodMetrics of those that run."""
        found = await self._measure(pods, self._meter.pod)
        return [metrics.of_pod(one.obj, one.usages(), now=now(), window_seconds=one.seconds) for one in found]

    async def nodes(self, nodes: Sequence[JSON], now: Callable[[], float]) -> list[JSON]:
        """NodeMetrics of this machine's."""
        found = await self._measure(nodes, self._machine)
        return [metrics.of_node(one.obj, one.usages()[""], now=now(), window_seconds=one.seconds) for one in found]

    async def summary(self, node: JSON, pods: Sequence[JSON], now: Callable[[], float]) -> JSON:
        """What a kubelet tells at ``/stats/summary``.  Raises: Unavailable for a node that is not this machine."""
        of_node, of_pods = await asyncio.gather(self._measure([node], self._machine), self._measure(pods, self._meter.pod))
        if not of_node:
            raise errors.Unavailable(f"node {node['metadata']['name']} is not this machine")
        return metrics.summary(node["metadata"]["name"], of_node[0].stats(now())[""], [(one.obj, one.stats(now())) for one in of_pods])

    def _machine(self, node: JSON) -> Readings:
        reading = self._meter.node(node)
        return {"": reading} if reading else {}

    async def _measure(self, objects: Sequence[JSON], read: Callable[[JSON], Readings]) -> list[Measured]:
        """Each object that has readings, before and now."""
        before = await self._begin({_uid(obj): functools.partial(read, obj) for obj in objects})
        found = []
        for obj in objects:
            taken, old = before[_uid(obj)]
            new, now = read(obj), time.monotonic_ns()
            self._before[_uid(obj)] = (now, new)
            if new:
                found.append(Measured(obj=obj, before=old, readings=new, seconds=(now - taken) / _NANOS))
        return found

    async def _begin(self, wanted: Mapping[str, Callable[[], Readings]]) -> dict[str, tuple[int, Readings]]:
        """A first reading of each, none of them younger than a second when this returns."""
        oldest = time.monotonic_ns() - int(LONGEST_SECONDS * _NANOS)
        self._before = {key: kept for key, kept in self._before.items() if kept[0] > oldest}
        before = {key: self._before.get(key) or (time.monotonic_ns(), read()) for key, read in wanted.items()}
        self._before |= before
        youngest = max((taken for taken, _ in before.values()), default=0)
        await asyncio.sleep(max(0.0, SHORTEST_SECONDS - (time.monotonic_ns() - youngest) / _NANOS))
        return before


def _uid(obj: JSON) -> str:
    return str(obj["metadata"]["uid"])


async def get(call: Call) -> web.StreamResponse:
    """GET of one Pod's or the node's.  Raises: NotFound, as metrics-server words it, also for what does not run."""
    resource, name = call.target.resource, call.target.name
    obj = call.store.get(resource.plural, call.target.namespace, name)
    found = await _measured(call, [obj] if obj else [])
    if not found:
        full = f"{call.target.namespace}/{name}" if resource.namespaced else name
        raise errors.NotFound.of(resource.kind.lower(), full, group=resource.group)
    if call.form.table:
        return call.answer(shape.table(call, found, {}))
    return call.answer(shape.partial(call, found[0]) if call.form.partial else found[0])


async def list_objects(call: Call) -> web.StreamResponse:
    """GET of several, by the selectors of any list.  Raises: BadRequest."""
    resource = call.target.resource
    if call.form.table:
        shape.include_object(call)
    selected = selection.of(call.query, resource)
    objects, _ = call.store.list(resource.plural, call.target.namespace)
    found = await _measured(call, [obj for obj in objects if selected.matches(obj)])
    if call.form.table:
        return call.answer(shape.table(call, found, {}))
    kind, version, items = resource.list_kind, resource.api_version, [shape.bare(obj) for obj in found]
    if call.form.partial:
        kind, version, items = "PartialObjectMetadataList", call.form.meta_version, [shape.partial(call, obj) for obj in found]
    return call.answer({"kind": kind, "apiVersion": version, "metadata": {}, "items": items})


async def _measured(call: Call, objects: Sequence[JSON]) -> list[JSON]:
    """Raises: Unavailable on a server that runs no Pods."""
    sampler, now = call.services.sampler, call.services.now
    if sampler is None:
        raise errors.Unavailable("this server runs no Pods: there is nothing to measure")
    if call.target.resource.namespaced:
        return await sampler.pods(objects, now)
    return await sampler.nodes(objects, now)

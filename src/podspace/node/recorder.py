"""Events: what happened to an object, told once and counted after that.

The node agent's and the scheduler's voice. Telling never waits: ``run`` writes what was told, in order. A repeated event (same
object, reason and message) raises ``count`` of the first, as client-go's correlator does. Old ones are dropped after an hour,
as the API server does.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass

from podspace import errors
from podspace.kube import times
from podspace.kube.json import JSON
from podspace.store.store import Store

log = logging.getLogger(__name__)
TTL_SECONDS = 3600.0
_REMEMBERED = 4096
_serials = itertools.count(time.time_ns())  # one for all recorders of the process: names must differ

_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    obj: JSON
    kind: str
    reason: str
    message: str
    field_path: str
    at: float

    @property
    def key(self) -> _Key:
        return (self.obj["metadata"]["uid"], self.kind, self.reason, self.message, self.field_path)


class Recorder:
    """Events of one component of this node. ``run`` belongs into a TaskGroup."""

    def __init__(self, store: Store, *, component: str, host: str = "") -> None:
        self._store = store
        self._component = component
        self._host = host
        self._known: OrderedDict[_Key, str] = OrderedDict()
        self._queue: asyncio.Queue[_Told] = asyncio.Queue()

    def normal(self, obj: JSON, reason: str, message: str, *, field_path: str = "") -> None:
        self._tell(obj, "Normal", reason, message, field_path)

    def warning(self, obj: JSON, reason: str, message: str, *, field_path: str = "") -> None:
        self._tell(obj, "Warning", reason, message, field_path)

    async def run(self) -> None:
        """Write what is told until cancelled; then write what is left."""
        try:
            while True:
                await self._record(await self._queue.get())
        finally:
            while not self._queue.empty():
                await self._record(self._queue.get_nowait())

    def _tell(self, obj: JSON, kind: str, reason: str, message: str, field_path: str) -> None:
        self._queue.put_nowait(_Told(obj=obj, kind=kind, reason=reason, message=message, field_path=field_path, at=time.time()))

    async def _record(self, told: _Told) -> None:
        # Events of cluster-scoped objects live in "default", as the API server wants them.
        namespace = told.obj["metadata"].get("namespace") or "default"
        try:
            if not await self._count_again(told, namespace):
                event = self._event(told, namespace)
                self._remember(told.key, event["metadata"]["name"])
                await self._store.create("events", event, durable=False)
        except errors.Unavailable as error:
            log.warning("event lost: %s %s: %s", told.reason, told.message, error)

    async def _count_again(self, told: _Told, namespace: str) -> bool:
        known = self._known.get(told.key)
        if known is None:
            return False
        now = times.rfc3339(told.at)
        try:
            await self._store.mutate("events", namespace, known, lambda event: _again(event, now), durable=False)
        except errors.NotFound:
            del self._known[told.key]
            return False
        self._known.move_to_end(told.key)
        return True

    def _remember(self, key: _Key, name: str) -> None:
        self._known[key] = name
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _event(self, told: _Told, namespace: str) -> JSON:
        obj, now = told.obj, times.rfc3339(told.at)
        metadata = obj["metadata"]
        involved: JSON = {"kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"], "apiVersion": obj["apiVersion"]}
        if metadata.get("namespace"):
            involved["namespace"] = metadata["namespace"]
        if metadata.get("resourceVersion"):
            involved["resourceVersion"] = metadata["resourceVersion"]
        if told.field_path:
            involved["fieldPath"] = told.field_path
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{next(_serials):x}",
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": now,
            },
            "involvedObject": involved,
            "reason": told.reason,
            "message": told.message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": told.kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def _again(event: JSON, now: str) -> JSON:
    return event | {"count": event.get("count", 1) + 1, "lastTimestamp": now}


async def drop_old(store: Store, *, now: float) -> int:
    """Delete events that have been neither made nor seen again for an hour; return how many."""
    events, _ = store.list("events")
    old = [event for event in events if now - _last_seen(event) > TTL_SECONDS]
    for event in old:
        try:
            await store.delete("events", event["metadata"]["namespace"], event["metadata"]["name"], durable=False)
        except errors.NotFound:  # somebody was quicker
            continue
        except errors.Unavailable as error:
            log.warning("old events stay: %s", error)
            break
    return len(old)


def _last_seen(event: JSON) -> float:
    """Whoever made it: events of others say when in one of several places, and may be about what was long ago."""
    said = (event["metadata"]["creationTimestamp"], event.get("lastTimestamp"), (event.get("series") or {}).get("lastObservedTime"))
    return max(times.parse(moment) for moment in said if moment)

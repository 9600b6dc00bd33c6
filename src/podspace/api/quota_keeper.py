"""Holds namespaces to their ResourceQuotas, and keeps the quotas' status true.

The create handler asks ``room`` around each write; ``server`` runs ``run`` beside the listeners. Namespaces without a quota cost a look
into an empty list. What things count for is in ``kube.quotas``.
Source: plugin ResourceQuota, kube-controller-manager's resourcequota controller.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Iterator

from podspace import errors
from podspace.aio import supervised
from podspace.api import registry
from podspace.kube import resources
from podspace.kube.json import JSON
from podspace.kube.resources import Resource
from podspace.store.store import Store

_log = logging.getLogger(__name__)
_KEY = resources.RESOURCEQUOTAS.qualified
_UNCOUNTED = frozenset({resources.EVENTS.qualified, resources.LEASES.qualified})  # many, and nobody's quota


class QuotaKeeper:
    """One for a server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: dict[str, asyncio.Lock] = {}
        self._dirty: set[str] = set()
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def room(self, resource: Resource, namespace: str, obj: JSON) -> AsyncIterator[None]:
        """Make sure that the object fits while it is written: nobody else takes the same room meanwhile.  Raises: Forbidden."""
        quotas = self._store.list(_KEY, namespace)[0] if namespace else []
        if not quotas:
            yield
            return
        async with self._locks.setdefault(namespace, asyncio.Lock()):
            self._check(resource, namespace, obj)
            yield

    def hold(self, resource: Resource, namespace: str, obj: JSON, old: JSON) -> None:
        """Make sure that an object may become this; inside of ``Store.mutate`` nobody can write in between.  Raises: Forbidden."""
        from podspace.kube import quotas

        for quota in self._store.list(_KEY, namespace)[0]:
            quotas.check_growth(resource, obj, old, quota, quotas.used(quota, self._objects(namespace)))

    def _check(self, resource: Resource, namespace: str, obj: JSON) -> None:
        from podspace.kube import quotas

        for quota in self._store.list(_KEY, namespace)[0]:
            quotas.check(resource, obj, quota, quotas.used(quota, self._objects(namespace)))

    def _objects(self, namespace: str) -> Iterator[tuple[Resource, JSON]]:
        for strategy in registry.namespaced():
            if strategy.key not in _UNCOUNTED:
                for obj in self._store.list(strategy.key, namespace)[0]:
                    yield strategy.resource, obj

    async def run(self) -> None:
        """Write what is used into every quota's status, until cancelled."""
        async with asyncio.TaskGroup() as group:
            await self._first(group)
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._dirty:
                    namespace = self._dirty.pop()
                    await supervised.tried(_log, f"quotas of namespace {namespace}", self._tell(namespace))

    async def _first(self, group: asyncio.TaskGroup) -> None:
        """Follow quotas; the other kinds from the first quota on."""
        with self._store.watch(_KEY) as quotas:
            if not self._store.list(_KEY)[0]:
                await quotas.batch()
        for key in {strategy.key for strategy in registry.namespaced()} - _UNCOUNTED:
            group.create_task(self._follow(key))
        self._mark({quota["metadata"]["namespace"] for quota in self._store.list(_KEY)[0]})

    async def _follow(self, key: str) -> None:
        while True:
            with self._store.watch(key) as changes:
                try:
                    while batch := await changes.batch():
                        self._mark({change.namespace for change in batch})
                    return  # the store is closed
                except errors.Expired:
                    self._mark({quota["metadata"]["namespace"] for quota in self._store.list(_KEY)[0]})

    def _mark(self, namespaces: set[str]) -> None:
        held = {namespace for namespace in namespaces if self._store.list(_KEY, namespace)[0]}
        if held:
            self._dirty |= held
            self._changed.set()

    async def _tell(self, namespace: str) -> None:
        from podspace.kube import amounts, quotas

        for quota in self._store.list(_KEY, namespace)[0]:
            hard = (quota.get("spec") or {}).get("hard") or {}
            status = {"hard": hard, "used": amounts.spelled(quotas.used(quota, self._objects(namespace)))}
            with contextlib.suppress(errors.NotFound, errors.Unavailable):  # a full disk is told to who writes; the next change comes
                await self._store.mutate(_KEY, namespace, quota["metadata"]["name"], functools.partial(_with_status, status), durable=False)


def _with_status(status: JSON, old: JSON) -> JSON:
    return {**old, "status": status}

"""Namespaces from birth to end: the four that are always there, what each one holds from the start, and the emptying of deleted ones.

``server`` calls ``bootstrap`` before it listens and runs ``Controller`` beside the listeners. It works on the store alone, like any
client; the Pods it deletes end gracefully by the hand of whoever runs them.
Source: kube-controller-manager's namespace, serviceaccount and root-ca-certificate controllers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from podspace import errors
from podspace.aio import supervised
from podspace.api import deletion, metadata, registry
from podspace.api.call import Services
from podspace.api.strategy_cluster import NAME_LABEL
from podspace.kube import admission_classes, resources
from podspace.kube import services as kube_services
from podspace.kube.json import JSON
from podspace.store.store import Delete

log = logging.getLogger(__name__)
RETRY_SECONDS = 10.0  # after which a disk that was full may not be any more
ALWAYS_THERE = ("default", "kube-system", "kube-public", "kube-node-lease")
_KEY = "namespaces"
_FURNITURE = (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"))
_PRIORITIES = resources.PRIORITYCLASSES.qualified
_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service "
    "IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


async def bootstrap(services: Services, ca_certificate: str) -> None:
    """Create what every server has. ``ca_certificate``: PEM, "" = none. Safe to repeat."""
    for name in ALWAYS_THERE:
        if services.store.get(_KEY, "", name) is None:
            await _create(services, _KEY, _namespace(name))
    if services.store.get("services", "default", "kubernetes") is None:
        await _create(services, "services", _api_service(), namespace="default")
    for priority in admission_classes.system_classes():
        if services.store.get(_PRIORITIES, "", metadata.name_of(priority)) is None:
            await _create(services, _PRIORITIES, priority)
    for namespace in services.store.list(_KEY)[0]:
        await furnish(services, namespace, ca_certificate)


async def furnish(services: Services, namespace: JSON, ca_certificate: str) -> None:
    """Give a namespace its ``default`` ServiceAccount and the CA's certificate."""
    name = metadata.name_of(namespace)
    if metadata.is_terminating(namespace):
        return
    if services.store.get("serviceaccounts", name, "default") is None:
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}
        await _create(services, "serviceaccounts", account, namespace=name)
    if not ca_certificate:
        return
    present = services.store.get("configmaps", name, "kube-root-ca.crt")
    if present is None:
        bundle: JSON = {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": "kube-root-ca.crt"},
            "data": {"ca.crt": ca_certificate},
        }
        bundle["metadata"]["annotations"] = {"kubernetes.io/description": _CA_NOTE}
        await _create(services, "configmaps", bundle, namespace=name)
    elif present.get("data") != {"ca.crt": ca_certificate}:
        with contextlib.suppress(errors.NotFound):  # deleted meanwhile: whoever watches will see that too
            await services.store.mutate("configmaps", name, "kube-root-ca.crt", lambda old: {**old, "data": {"ca.crt": ca_certificate}})


class Controller:
    """Furnishes new namespaces, puts back what is taken from them, and empties deleted ones; one task for each that is being emptied.

    What fails is one namespace's trouble alone, and tried again.
    """

    def __init__(self, services: Services, ca_certificate: str = "") -> None:
        self._services = services
        self._ca_certificate = ca_certificate
        self._emptying: set[str] = set()
        self._helpers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        store = self._services.store
        async with asyncio.TaskGroup() as group:
            for key, name in _FURNITURE:
                self._help(group, self._keep(key, name, group))
            while True:
                present, revision = store.list(_KEY)
                with store.watch(_KEY, since=revision) as changes:
                    for namespace in present:
                        await self._look_at(namespace, group)
                    try:
                        async for change in changes:
                            if change.kind != "DELETED":
                                await self._look_at(change.obj, group)
                        for helper in self._helpers:  # the store is closed
                            helper.cancel()
                        return
                    except errors.Expired:
                        continue  # fell behind: look at all of them again

    def _help(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        helper = group.create_task(work)
        self._helpers.add(helper)
        helper.add_done_callback(self._helpers.discard)

    async def _keep(self, key: str, name: str, group: asyncio.TaskGroup) -> None:
        """Furnish again where a piece of furniture is deleted or changed."""
        store = self._services.store
        while True:
            with store.watch(key) as changes:
                try:
                    async for change in changes:
                        if metadata.name_of(change.obj) == name and change.kind != "ADDED":
                            await self._furnish(metadata.of(change.obj)["namespace"], group)
                    return
                except errors.Expired:
                    for namespace in store.list(_KEY)[0]:
                        await self._furnish(metadata.name_of(namespace), group)

    async def _look_at(self, namespace: JSON, group: asyncio.TaskGroup) -> None:
        name, uid = metadata.name_of(namespace), metadata.of(namespace)["uid"]
        if not metadata.is_terminating(namespace):
            await self._furnish(name, group)
        elif uid not in self._emptying:
            self._emptying.add(uid)
            self._help(group, self._end(name, uid))

    async def _furnish(self, name: str, group: asyncio.TaskGroup) -> None:
        if not await self._furnished(name):
            self._help(group, self._furnish_later(name))

    async def _furnish_later(self, name: str) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if await self._furnished(name):
                return

    async def _furnished(self, name: str) -> bool:
        namespace = self._services.store.get(_KEY, "", name)
        if namespace is None:
            return True
        return await supervised.tried(log, f"furnishing namespace {name}", furnish(self._services, namespace, self._ca_certificate))

    async def _end(self, name: str, uid: str) -> None:
        try:
            while True:
                if await supervised.tried(log, f"emptying namespace {name}", self._finish(name, uid)):
                    return
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._emptying.discard(uid)

    async def _finish(self, name: str, uid: str) -> None:
        if not self._is_there(name, uid):  # it went while this waited to be tried again, and there may be another of its name
            return
        await _empty(self._services, name)
        if self._is_there(name, uid):
            with contextlib.suppress(errors.NotFound):
                await self._services.store.mutate(_KEY, "", name, _finalized)

    def _is_there(self, name: str, uid: str) -> bool:
        found = self._services.store.get(_KEY, "", name)
        return found is not None and metadata.of(found)["uid"] == uid


async def _empty(services: Services, name: str) -> None:
    """Delete everything in a namespace and wait until it is gone: Pods first, for they may use the rest to the end."""
    strategies = sorted(registry.namespaced(), key=lambda strategy: strategy.key != "pods")
    for strategy in strategies:
        _, revision = services.store.list(strategy.key, name)
        with services.store.watch(strategy.key, name, since=revision) as changes:
            while present := services.store.list(strategy.key, name)[0]:
                for obj in present:  # what came meanwhile too: the end of a Pod makes events
                    with contextlib.suppress(errors.NotFound):
                        await deletion.delete(services, strategy, name, metadata.name_of(obj), deletion.DeleteOptions())
                if services.store.list(strategy.key, name)[0] and not await changes.batch():
                    return


def _finalized(namespace: JSON) -> JSON | Delete:
    """Take "kubernetes" off; the last finalizer takes the namespace along."""
    spec = namespace.get("spec") or {}
    rest = [finalizer for finalizer in spec.get("finalizers") or () if finalizer != "kubernetes"]
    changed = {**namespace, "spec": {**spec, "finalizers": rest}}
    return changed if rest or metadata.finalizers_of(namespace) else Delete(obj=changed)


def _namespace(name: str) -> JSON:
    return {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {NAME_LABEL: name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _api_service() -> JSON:
    """The Service that stands for the API server in every cluster: tests and clients look for it."""
    port = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}
    address = kube_services.API_ADDRESS
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "ports": [port],
            "clusterIP": address,
            "clusterIPs": [address],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


async def _create(services: Services, key: str, obj: JSON, *, namespace: str = "") -> None:
    metadata.fill_new(obj, namespace=namespace, created=services.timestamp())
    with contextlib.suppress(errors.AlreadyExists):
        await services.store.create(key, obj)

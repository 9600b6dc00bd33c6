"""This machine as a Node object: what it has, who it is, that it is alive.

Written at start and kept fresh by a Lease, as a kubelet does (KEP-589): the Node itself changes only when something about the
machine does. Reads /proc and /etc only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import platform
import shutil
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from podspace import __version__, errors
from podspace.kube import quantity, times
from podspace.kube.json import JSON
from podspace.linux import mounts
from podspace.node import pressure
from podspace.node.fieldpath import NodeFacts
from podspace.settings import KUBERNETES_VERSION, Settings
from podspace.store.store import Store

log = logging.getLogger(__name__)
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
_LEASES = "leases.coordination.k8s.io"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}


def gather_facts(settings: Settings) -> NodeFacts:
    """Return name, addresses and size of this machine."""
    found = (_primary_address(socket.AF_INET, "192.0.2.1"), _primary_address(socket.AF_INET6, "2001:db8::1"))
    return NodeFacts(
        name=settings.node_name or socket.gethostname().lower(),
        ips=tuple(filter(None, found)) or ("127.0.0.1",),
        cpu_milli=len(os.sched_getaffinity(0)) * 1000,
        memory_bytes=_memory_bytes(),
        storage_bytes=shutil.disk_usage(settings.paths.lib).total,
    )


def _primary_address(family: int, somewhere: str) -> str:
    """The source address of the default route, "" without one; connecting a UDP socket sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            address = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
    except OSError:
        return ""
    return "" if address.is_link_local else str(address)


def _memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What the engine can do here and elsewhere cannot."""

    user_namespaces: bool
    huge_pages: bool


class Registration:
    """Keeps this machine's Node and Lease in the store."""

    def __init__(self, store: Store, settings: Settings, facts: NodeFacts, abilities: Abilities, *, runtime_version: str) -> None:
        self._store = store
        self._settings = settings
        self._facts = facts
        self._runtime_version = runtime_version
        self._abilities = abilities

    async def register(self) -> None:
        """Create the Node, or bring its status up to date; labels and taints that a user set are kept."""
        try:
            await self._store.create("nodes", self._node())
        except errors.AlreadyExists:
            await self._store.mutate("nodes", "", self._facts.name, self._refreshed)

    async def run(self) -> None:
        """Renew the Lease until cancelled. A store that cannot write just now is no reason to end."""
        while True:
            try:
                await self._renew()
                await self._tell_pressure()
            except (errors.Unavailable, OSError) as error:
                log.warning("the Lease is not renewed: %s", error)
            await asyncio.sleep(RENEW_SECONDS)

    def _room(self) -> pressure.Room:
        return pressure.look(self._settings.paths.lib, self._settings.paths.lib)  # images are below it, too

    async def _tell_pressure(self) -> None:
        """Change the Node when memory or disk runs out, or is there again; nothing is written as long as nothing changes."""
        now = times.rfc3339(time.time())
        fresh = {condition["type"]: condition for condition in _conditions(self._room(), now) if condition["type"].endswith("Pressure")}

        def changed(condition: JSON) -> bool:
            return condition["type"] in fresh and fresh[condition["type"]]["status"] != condition["status"]

        def tell(node: JSON) -> JSON | None:
            status = node.get("status") or {}
            conditions = status.get("conditions") or []
            if not any(map(changed, conditions)):
                return None
            replaced = [fresh[one["type"]] if changed(one) else one for one in conditions]
            return node | {"status": status | {"conditions": replaced}}

        with contextlib.suppress(errors.NotFound):
            await self._store.mutate("nodes", "", self._facts.name, tell, durable=False)

    def _refreshed(self, node: JSON) -> JSON:
        fresh = self._node()
        labels = (node["metadata"].get("labels") or {}) | fresh["metadata"]["labels"]
        status = (node.get("status") or {}) | fresh["status"]
        return node | {"metadata": node["metadata"] | {"labels": labels}, "status": status}

    def _node(self) -> JSON:
        now = times.rfc3339(time.time())
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        labels = {
            "kubernetes.io/arch": architecture,
            "kubernetes.io/hostname": self._facts.name,
            "kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
        }
        metadata = {"name": self._facts.name, "uid": str(uuid.uuid4()), "creationTimestamp": now, "labels": labels}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": self._status(now, architecture)}

    def _status(self, now: str, architecture: str) -> JSON:
        huge = _huge_pages() if self._abilities.huge_pages else {}  # what nothing is held to is not offered
        features = {"recursiveReadOnlyMounts": mounts.knows_recursive_readonly(), "userNamespaces": self._abilities.user_namespaces}
        size = {
            "cpu": str(self._facts.cpu_milli // 1000),
            "ephemeral-storage": f"{self._facts.storage_bytes // 1024}Ki",
            **huge,
            "memory": f"{self._facts.memory_bytes // 1024}Ki",
            "pods": str(self._settings.max_pods),
        }
        return {
            "capacity": size,
            "allocatable": size | {"memory": f"{(self._facts.memory_bytes - _held_back(huge)) // 1024}Ki"},
            "conditions": _conditions(self._room(), now),
            "addresses": [
                *({"type": "InternalIP", "address": ip} for ip in self._facts.ips),
                {"type": "Hostname", "address": self._facts.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "features": {"supplementalGroupsPolicy": True},
            "runtimeHandlers": [{"name": name, "features": features} for name in ("", *self._settings.runtime_handlers)],
            "nodeInfo": self._node_info(architecture),
        }

    def _node_info(self, architecture: str) -> JSON:
        return {
            "machineID": _read("/etc/machine-id"),
            "systemUUID": _read("/sys/class/dmi/id/product_uuid"),
            "bootID": _read("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": platform.release(),
            "osImage": _os_name(),
            "containerRuntimeVersion": f"podspace://{__version__}+{self._runtime_version}",
            "kubeletVersion": KUBERNETES_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": architecture,
        }

    async def _renew(self) -> None:
        now = times.rfc3339_micro(time.time())
        name = self._facts.name

        def renew(lease: JSON) -> JSON:
            return lease | {"spec": lease["spec"] | {"renewTime": now}}

        try:
            await self._store.mutate(_LEASES, "kube-node-lease", name, renew, durable=False)
        except errors.NotFound:
            await self._store.create(_LEASES, self._lease(now), durable=False)

    def _lease(self, now: str) -> JSON:
        name = self._facts.name
        node = self._store.get("nodes", "", name)
        owners = [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}] if node else []
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": "kube-node-lease",
                "uid": str(uuid.uuid4()),
                "creationTimestamp": times.rfc3339(time.time()),
                "ownerReferences": owners,
            },
            "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
        }


def _conditions(room: pressure.Room, now: str) -> list[JSON]:
    told = (
        *pressure.conditions(room),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "podspace is running Pods"),
    )
    return [
        {"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": now, "reason": reason, "message": message}
        for kind, status, reason, message in told
    ]


def _huge_pages(root: Path = Path("/sys/kernel/mm/hugepages")) -> dict[str, str]:
    """What the machine has set aside, by size: ``hugepages-2Mi`` -> ``64Mi``."""
    found = {}
    for folder in sorted(root.glob("hugepages-*kB")):
        kilobytes = int(folder.name.removeprefix("hugepages-").removesuffix("kB"))
        held = int((folder / "nr_hugepages").read_text()) * kilobytes
        found[f"hugepages-{quantity.canonical(f'{kilobytes}Ki')}"] = quantity.canonical(f"{held}Ki")
    return found


def _held_back(huge: dict[str, str]) -> int:
    return sum(quantity.parse(amount).value for amount in huge.values())


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"

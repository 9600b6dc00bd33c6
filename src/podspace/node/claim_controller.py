"""Binding claims to volumes, providing volumes of this machine's disk, and taking them back: one machine's volume controllers.

``run`` looks at all claims and volumes whenever one of them, a class, or a Pod that uses one has changed, and brings each a step further;
every step can be repeated after a crash. The scheduler calls ``settle`` before it judges a Pod's claims, so that a claim that can be
bound is. A provided volume is a folder below ``folder``; nothing holds it to its size.
Source: kube-controller-manager's persistentvolume-binder, ephemeral-volume, pvc-protection and pv-protection controllers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.aio import supervised
from podspace.kube import admission, quantity, storage, times
from podspace.kube.json import JSON
from podspace.linux import trees
from podspace.node import claim_objects, claims, neighbours
from podspace.node.claims import CLAIMS, CLASSES, VOLUMES
from podspace.node.recorder import Recorder
from podspace.store.store import Delete, Store

log = logging.getLogger(__name__)
RETRY_SECONDS = 10.0
_DELETED = "deleted-"
_FOLDER_MODE = 0o777  # whoever a container runs as may write to its volume


class ClaimController:
    """Owns the folders below ``folder``, and the status of every claim and volume."""

    def __init__(self, store: Store, recorder: Recorder, *, folder: Path, node_name: str) -> None:
        self._store = store
        self._recorder = recorder
        self._folder = folder
        self._node_name = node_name
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()
        self._told: dict[str, str] = {}  # uid -> what its events have said
        self._doomed: asyncio.Queue[Path] = asyncio.Queue()  # folders that nobody can reach any more

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.to_thread(self._remove_strangers)
        async with asyncio.TaskGroup() as tasks:
            for resource in (CLAIMS, VOLUMES, CLASSES, "pods"):
                tasks.create_task(self._follow(resource))
            tasks.create_task(self._remove_doomed())
            while True:
                self._changed.clear()
                again = None if await self._settle() else RETRY_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(again):
                        await self._changed.wait()

    async def settle(self) -> None:
        """Bring every claim as far as it gets by itself; what went wrong is tried again by ``run``."""
        if not await self._settle():
            self._changed.set()

    async def _settle(self) -> bool:
        """False: something went wrong, which is that object's trouble alone."""
        async with self._busy:
            pods = [pod for pod in self._store.list("pods")[0] if next(claims.used_by(pod), None)]
            fine = [await self._tried(pod, self._make_ephemeral(pod)) for pod in pods]
            for claim in self._store.list(CLAIMS)[0]:
                fine.append(await self._tried(claim, self._look_at_claim(claim, claims.users(claim, pods))))
            fine += [await self._tried(volume, self._look_at_volume(volume)) for volume in self._store.list(VOLUMES)[0]]
        return all(fine)

    async def _tried(self, obj: JSON, step: Coroutine[Any, Any, None]) -> bool:
        what = f"{obj['kind']} {obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"
        return await supervised.tried(log, what, step)

    async def _follow(self, resource: str) -> None:
        while True:
            with self._store.watch(resource) as watch:
                try:
                    async for change in watch:
                        if resource != "pods" or _matters(change.obj, change.previous, deleted=change.kind == "DELETED"):
                            self._changed.set()
                except errors.Expired:
                    self._changed.set()
                    continue
            return

    async def furnish(self) -> None:
        """Create the default class, so that claims of the first client get it."""
        if self._store.get(CLASSES, "", claim_objects.CLASS_NAME) is None:
            await self._store.create(CLASSES, claim_objects.default_class(_now()))

    def _remove_strangers(self) -> None:
        """Folders of volumes that were being made, or deleted, when the server was killed.

        The former are empty. What holds something without having a volume of its name is somebody's: its volume was to be retained.
        """
        for path in self._folder.glob(f"{_DELETED}*"):
            trees.remove_quietly(path)
        named = {(volume["spec"].get("local") or {}).get("path") for volume in self._store.list(VOLUMES)[0]}
        for path in self._folder.glob("pvc-*"):
            if str(path) not in named:
                with contextlib.suppress(OSError):
                    path.rmdir()

    async def _remove_doomed(self) -> None:
        """Empty folders one after the other: that of a large volume may take minutes, and nobody waits for it."""
        while True:
            path = await self._doomed.get()
            try:
                await asyncio.to_thread(trees.remove, path)
            except OSError as error:
                log.warning("%s stays until the next start: %s", path, error)

    async def _make_ephemeral(self, pod: JSON) -> None:
        if neighbours.is_over(pod) or pod["metadata"].get("deletionTimestamp"):
            return
        for volume in pod["spec"].get("volumes") or ():
            if "ephemeral" not in volume:
                continue
            claim = claim_objects.ephemeral_claim(pod, volume, _now())
            present = self._store.get(CLAIMS, claim["metadata"]["namespace"], claim["metadata"]["name"])
            if present is None:
                await self._store.create(CLAIMS, admission.with_default_class(claim, self._store.list(CLASSES)[0]))
            elif not claims.is_owned(present, pod):
                self._tell(pod, "Warning", "FailedBinding", f"ephemeral volume controller: {claims.not_owned(present, pod)}")

    # Claims

    async def _look_at_claim(self, claim: JSON, users: list[JSON]) -> None:
        if claim["metadata"].get("deletionTimestamp"):
            if not users:
                await self._unprotect(CLAIMS, claim, claim_objects.CLAIM_PROTECTION)
        elif self._is_orphan(claim):
            await self._delete(CLAIMS, claim)
        elif claims.is_bound(claim):
            await self._keep(claim)
        elif (claim.get("status") or {}).get("phase") != "Lost":
            if not storage.names_a_class(claim):  # there was no default one when it was made
                classes = self._store.list(CLASSES)[0]
                claim = await self._change(CLAIMS, claim, lambda old: admission.with_default_class(old, classes)) or claim
            await self._bind(claim, waited_for=bool(users))

    def _is_orphan(self, claim: JSON) -> bool:
        """A claim that was made for a Pod which is gone."""
        owners = [o for o in claim["metadata"].get("ownerReferences") or () if o.get("controller") and o.get("kind") == "Pod"]
        if not owners:
            return False
        pod = self._store.get("pods", claim["metadata"]["namespace"], owners[0]["name"])
        return pod is None or pod["metadata"]["uid"] != owners[0]["uid"]

    async def _keep(self, claim: JSON) -> None:
        """A bound claim may have lost its volume, or want a larger one."""
        volume = self._store.get(VOLUMES, "", claim["spec"]["volumeName"])
        if volume is None:
            self._tell(claim, "Warning", "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
            await self._change(CLAIMS, claim, lambda old: old | {"status": {**old["status"], "phase": "Lost"}})
            return
        wanted, has = storage.requested(claim), (volume["spec"].get("capacity") or {}).get("storage", "0")
        if claim_objects.is_ours(volume) and quantity.parse(wanted).nanos > quantity.parse(has).nanos:
            grown = await self._change(VOLUMES, volume, lambda old: old | {"spec": old["spec"] | {"capacity": {"storage": wanted}}})
            if grown is not None:
                await self._change(CLAIMS, claim, lambda old: claim_objects.bound_claim(old, grown))
                self._tell(claim, "Normal", "VolumeResizeSuccessful", f"ExpandVolume succeeded for volume {claim['metadata']['name']}")

    async def _bind(self, claim: JSON, *, waited_for: bool) -> None:
        node = self._store.get("nodes", "", self._node_name)
        volume = claims.best_volume(claim, self._store.list(VOLUMES)[0], node)
        if volume is None and claim["spec"].get("volumeName"):
            return  # it waits for that very volume
        if volume is None:
            volume = await self._provide(claim, node, waited_for=waited_for)
        if volume is None:
            return
        bound = await self._change(VOLUMES, volume, lambda old: claim_objects.bound_volume(old, claim, _now()))
        if bound is not None:
            await self._change(CLAIMS, claim, lambda old: claim_objects.bound_claim(old, bound))

    async def _provide(self, claim: JSON, node: JSON | None, *, waited_for: bool) -> JSON | None:
        name = storage.class_of(claim)
        if not name:
            words = "no persistent volumes available for this claim and no storage class is set"
            self._tell(claim, "Normal", "FailedBinding", words)
            return None
        found = self._store.get(CLASSES, "", name)
        if found is None:
            self._tell(claim, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
            return None
        if found.get("volumeBindingMode") == "WaitForFirstConsumer" and not waited_for:
            self._tell(claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
            return None
        if why := _refusal(claim, found):
            self._tell(claim, *why)
            return None
        return None if node is None else await self._make_volume(claim, found, node)

    async def _make_volume(self, claim: JSON, storage_class: JSON, node: JSON) -> JSON | None:
        """The folder first: a volume that is seen is there."""
        path = self._folder / claim_objects.volume_name(claim)
        await asyncio.to_thread(_make_folder, path)
        hostname = (node["metadata"].get("labels") or {}).get(claim_objects.HOSTNAME, self._node_name)
        volume = claim_objects.provided_volume(claim, storage_class, path, hostname, _now())
        try:
            made = await self._store.create(VOLUMES, volume)
        except errors.AlreadyExists:
            return None
        await self._change(CLAIMS, claim, claim_objects.provided_claim)
        self._tell(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {path.name}")
        return made

    # Volumes

    async def _look_at_volume(self, volume: JSON) -> None:
        reference = volume["spec"].get("claimRef") or {}
        claim = self._store.get(CLAIMS, reference.get("namespace", ""), reference["name"]) if reference.get("name") else None
        lost = bool(reference.get("uid")) and (claim is None or claim["metadata"]["uid"] != reference["uid"])
        if lost:
            await self._take_back(volume)
        elif volume["metadata"].get("deletionTimestamp"):
            if claim is None or claim["spec"].get("volumeName") != volume["metadata"]["name"]:
                await self._unprotect(VOLUMES, volume, claim_objects.VOLUME_PROTECTION)
        elif not reference.get("uid"):
            await self._change(VOLUMES, volume, lambda old: claim_objects.in_phase(old, "Available", _now()))

    async def _take_back(self, volume: JSON) -> None:
        """The claim is gone: what is ours is deleted, the rest is kept for somebody to look at."""
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
        path = self._folder / volume["metadata"]["name"]
        released = volume["metadata"].get("deletionTimestamp")
        if policy == "Retain" or released:
            await self._change(VOLUMES, volume, lambda old: claim_objects.in_phase(old, "Released", _now()))
            if released:
                await self._unprotect(VOLUMES, volume, claim_objects.VOLUME_PROTECTION)
        elif policy == "Delete" and claim_objects.is_ours(volume) and Path(volume["spec"]["local"]["path"]) == path:
            with contextlib.suppress(FileNotFoundError):
                self._doomed.put_nowait(path.rename(path.with_name(_DELETED + path.name)))
            await self._delete(VOLUMES, volume)
        else:
            verb = "deletable" if policy == "Delete" else "recyclable"
            words = f'error getting {verb[:-4]}er volume plugin for volume "{volume["metadata"]["name"]}": no {verb} volume plugin matched'
            reason = "VolumeFailedDelete" if policy == "Delete" else "VolumeFailedRecycle"
            self._tell(volume, "Warning", reason, words)
            await self._change(VOLUMES, volume, lambda old: claim_objects.in_phase(old, "Failed", _now(), reason=reason, message=words))

    # Writing

    async def _change(self, resource: str, obj: JSON, change: Callable[[JSON], JSON | Delete]) -> JSON | None:
        """The object after a change to what is stored now; None if it is gone, or another of the same name."""
        metadata = obj["metadata"]

        def guarded(old: JSON) -> JSON | Delete | None:
            return change(old) if old["metadata"]["uid"] == metadata["uid"] else None

        try:
            changed = await self._store.mutate(resource, metadata.get("namespace", ""), metadata["name"], guarded)
        except errors.NotFound:
            return None
        return changed if changed["metadata"]["uid"] == metadata["uid"] else None

    async def _delete(self, resource: str, obj: JSON) -> None:
        """As a client would: what has finalizers is marked, and goes with the last of them."""
        now = _now()

        def delete(old: JSON) -> JSON | Delete:
            metadata = old["metadata"]
            if not metadata.get("finalizers"):
                return Delete(obj=old)
            return old | {"metadata": {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0} | metadata}

        await self._change(resource, obj, delete)
        self._changed.set()

    async def _unprotect(self, resource: str, obj: JSON, finalizer: str) -> None:
        def release(old: JSON) -> JSON | Delete:
            rest = [one for one in old["metadata"].get("finalizers") or () if one != finalizer]
            metadata = {name: value for name, value in old["metadata"].items() if name != "finalizers"}
            free = old | {"metadata": metadata | ({"finalizers": rest} if rest else {})}
            return free if rest else Delete(obj=free)

        await self._change(resource, obj, release)
        self._told.pop(obj["metadata"]["uid"], None)

    def _tell(self, obj: JSON, kind: str, reason: str, message: str) -> None:
        """Once, until something else is to be said of the object."""
        said = f"{reason} {message}"
        if self._told.get(obj["metadata"]["uid"]) == said:
            return
        self._told[obj["metadata"]["uid"]] = said
        tell = self._recorder.warning if kind == "Warning" else self._recorder.normal
        tell(obj, reason, message)


def _matters(pod: JSON, previous: JSON | None, *, deleted: bool) -> bool:
    """Whether a change of a Pod changes who uses which claim."""
    if next(claims.used_by(pod), None) is None:
        return False
    return deleted or previous is None or neighbours.is_over(pod) != neighbours.is_over(previous)


def _refusal(claim: JSON, storage_class: JSON) -> tuple[str, str, str] | None:
    """Why this server does not make a volume for a claim, as an event; None if it does. Pure."""
    provisioner, spec = storage_class.get("provisioner", ""), claim["spec"]
    if provisioner == "kubernetes.io/no-provisioner":
        return "Normal", "FailedBinding", "no persistent volumes available for this claim; its class makes none"
    if provisioner != claim_objects.PROVISIONER:
        words = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system "
            "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        )
        return "Normal", "ExternalProvisioning", words
    failed = f'failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": '
    if spec.get("selector"):
        return "Warning", "ProvisioningFailed", failed + "claim Selector is not supported"
    if spec.get("volumeMode") == "Block":
        return (
            "Warning",
            "ProvisioningFailed",
            failed + "folders are no block devices: volumeMode Block needs a PersistentVolume of its own",
        )
    if source := next((name for name in ("dataSource", "dataSourceRef") if spec.get(name)), ""):
        return "Warning", "ProvisioningFailed", failed + f"spec.{source}: volumes are not filled from other objects"
    return None


def _make_folder(path: Path) -> None:
    """Make it so that it is there after a power loss, as its PersistentVolume will be."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(path, _FOLDER_MODE)
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _now() -> str:
    return times.rfc3339(time.time())

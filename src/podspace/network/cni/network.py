"""Sandboxes in the network of CNI plugins: the other implementation of the engine's network port, beside ``bridge``.

Called by ``choice``. The network namespace is pinned by a mount, ``<run>/netns/<sandbox id>``, so that plugins find it as long as there is
something to undo in it, even if /pause was killed: some leave firewall rules behind otherwise. Nothing of other runtimes that share
the network is touched: no GC is sent to plugins, for it would tell them that only our sandboxes live; what our own former servers left
is undone one by one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Sequence

from podspace import errors
from podspace.aio import cleanup, together
from podspace.linux import mounts, netlink, netns, rtnetlink, syscalls
from podspace.network.attachment import Attachment
from podspace.network.cni import capabilities, config, plugin, results
from podspace.network.cni.attachments import Attachments, Record
from podspace.network.cni.chain import Chain
from podspace.settings import CNI_CONF_DIR, Settings

INTERFACE = "eth0"
LOOPBACK_INDEX = 1
_PREPARE_SECONDS = 30.0
UNDO_SECONDS = 30.0  # a plugin that hangs must not keep a server from starting

log = logging.getLogger(__name__)


class CniNetwork:
    """One per server."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.cni_conf_dir or CNI_CONF_DIR
        self._pins = settings.paths.run / "netns"
        self._records = Attachments(settings.paths.lib / "network" / "cni")
        self._chain = Chain(settings.cni_bin_dirs)
        self._pod_cidrs = tuple(settings.pod_cidr.split(",")) if settings.pod_cidr else ()

    def load(self) -> config.NetworkConfig:
        """The network as the folder says now. Raises: config.NotInitialized."""
        return config.load(self.folder)

    @property
    def configured(self) -> bool:
        """Whether somebody has left a configuration, right or wrong."""
        return bool(config.files(self.folder))

    async def problem(self) -> str:
        """Why no sandbox can be attached just now, "" if one can."""
        try:
            await self._chain.status(self.load())
        except errors.PodspaceError as error:
            return str(error)
        return ""

    def use_pod_cidr(self, text: str) -> None:
        """What a kubelet says the Pods' addresses are, for plugins that want to be told (``ipRanges``)."""
        self._pod_cidrs = tuple(text.split(",")) if text else ()

    def owns(self, sandbox_id: str) -> bool:
        """Whether there is anything of the sandbox to undo."""
        return self._records.has(sandbox_id) or (self._pins / sandbox_id).exists()

    async def attach(self, wanted: Attachment) -> tuple[str, ...]:
        """Raises: config.NotInitialized, Unavailable (a plugin's words), Unsupported (what a Pod of ours asks no plugin does), BadRequest.

        Failed or cancelled: ``detach`` undoes.
        """
        before = self._records.get(wanted.sandbox_id)
        if before is not None and before.result is not None:
            return _addresses(before)
        record = Record(
            sandbox_id=wanted.sandbox_id,
            config=self.load(),
            arguments=capabilities.arguments(wanted),
            given=capabilities.of(wanted, self._pod_cidrs),
        )
        _refuse_unheard(wanted, record)
        # a thread cannot be cancelled: the undo must not begin while it still mounts
        await cleanup.finish(asyncio.to_thread(self._prepare, record, wanted), _PREPARE_SECONDS)
        try:
            adding = self._chain.add(record.config, self._call(record), record.given)
            result, _ = await together.both(adding, self._settle(record, wanted))
            self._records.save_result(record.sandbox_id, result)
            return _addresses(dataclasses.replace(record, result=result))
        except errors.Unavailable as error:
            raise errors.Unavailable(f'failed to setup network for sandbox "{wanted.sandbox_id}": {error}') from error

    async def detach(self, sandbox_id: str) -> None:
        """Raises: Unavailable; what could not be undone is tried again next time. Not attached: fine."""
        record = self._records.get(sandbox_id)
        if record is not None:
            try:
                await self._chain.delete(record.config, self._call(record), record.given, record.result)
            except errors.Unavailable as error:
                raise errors.Unavailable(f'failed to destroy network for sandbox "{sandbox_id}": {error}') from error
        await asyncio.to_thread(self._unpin, sandbox_id)
        self._records.drop(sandbox_id)

    async def recover(self, live: Sequence[Attachment]) -> None:
        """Undo what belongs to no living sandbox; look whether the others still have what they were given."""
        kept = {item.sandbox_id: item for item in live}
        stale = {*self._records.ids(), *(path.name for path in self._pins.glob("*"))} - kept.keys()
        await together.every(self._tried_detach(sandbox_id) for sandbox_id in sorted(stale))
        await together.every(self._checked(item) for item in live)

    async def _tried_detach(self, sandbox_id: str) -> None:
        try:
            async with asyncio.timeout(UNDO_SECONDS):
                await self.detach(sandbox_id)
        except (errors.PodspaceError, OSError) as error:  # a TimeoutError is an OSError
            why = str(error) or "it takes too long"
            log.warning("network of sandbox %s, which is gone: %s; tried again at the next start", sandbox_id, why)

    async def _checked(self, item: Attachment) -> None:
        record = self._records.get(item.sandbox_id)
        if record is None or record.result is None:
            return
        try:
            await asyncio.to_thread(self._pin, item)
            await self._chain.check(record.config, self._call(record), record.given, record.result)
        except (errors.PodspaceError, OSError) as error:
            log.warning("the network of sandbox %s (%s/%s) is not what it was: %s", item.sandbox_id, item.namespace, item.name, error)

    def _call(self, record: Record) -> plugin.Call:
        pin = self._pins / record.sandbox_id
        return plugin.Call(
            command="",
            container_id=record.sandbox_id,
            netns=str(pin) if os.path.ismount(pin) else "",
            interface=INTERFACE,
            arguments=record.arguments,
        )

    def _prepare(self, record: Record, wanted: Attachment) -> None:
        """The record first: what is there to undo is known before it is done."""
        self._records.save(record)
        self._pin(wanted)

    async def _settle(self, record: Record, wanted: Attachment) -> None:
        """What no plugin has to wait for: that the record outlives a power loss, and the loopback."""
        await cleanup.finish(asyncio.to_thread(self._records.sync, record.sandbox_id), _PREPARE_SECONDS)
        await cleanup.finish(asyncio.to_thread(_bring_up_loopback, wanted.pid), _PREPARE_SECONDS)

    def _pin(self, wanted: Attachment) -> None:
        """Idempotent."""
        pin = self._pins / wanted.sandbox_id
        self._pins.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(pin):
            pin.touch(exist_ok=True)
            syscalls.mount(f"/proc/{wanted.pid}/ns/net", str(pin), None, syscalls.MS_BIND)

    def _unpin(self, sandbox_id: str) -> None:
        pin = self._pins / sandbox_id
        mounts.unmount(pin)
        pin.unlink(missing_ok=True)


def _bring_up_loopback(pid: int) -> None:
    """Nobody's plugin's."""
    with rtnetlink.Route(netns.inside(pid, netlink.open_socket)) as pod:
        pod.set_up(LOOPBACK_INDEX)


def _refuse_unheard(wanted: Attachment, record: Record) -> None:
    """A Pod of our own is not run without what it asks for. A kubelet's is, as with containerd; the log says what it lacks."""
    lacking = capabilities.unheard(record.config, record.given)
    if not lacking:
        return
    words = f"network {record.config.name} has no plugin that is capable of {', '.join(lacking)}, which the Pod asks for"
    if wanted.owner == "node":
        raise errors.Unsupported(words)
    log.warning("sandbox %s (%s/%s): %s", wanted.sandbox_id, wanted.namespace, wanted.name, words)


def _addresses(record: Record) -> tuple[str, ...]:
    try:
        found = results.addresses(record.result or {}, INTERFACE)
    except (ValueError, KeyError, TypeError) as error:
        raise errors.Unavailable(f"the result of network {record.config.name} cannot be understood: {error}") from error
    if not found:
        raise errors.Unavailable(f'failed to find network info for sandbox "{record.sandbox_id}"')
    return found

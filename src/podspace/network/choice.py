"""Which network a sandbox gets: the built-in bridge or CNI's. Either may come to be used while the server runs, and both at once.

Made by the daemon as the engine's network. What was chosen for a sandbox stays: it is taken back from the network that has it, also by
a later server with other flags. The rules, for one front door each:

    bridge   the built-in bridge
    cni      CNI; without a configuration no sandbox can be attached, and ``problem`` says so (a kubelet's sandboxes, as with containerd)
    auto     CNI if there is a configuration, else the bridge (Pods of our own)

With auto the system's folder says nothing to a server below ``--root``, and podman's own file in it says nothing to anybody: its package
leaves it there for itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from podspace.linux import folders
from podspace.network.attachment import Attachment
from podspace.network.bridge import BridgeNetwork
from podspace.network.cni.config import NotInitialized
from podspace.network.cni.network import CniNetwork
from podspace.settings import Settings

MODES = ("auto", "bridge", "cni")
DEFAULTS = {"node": "auto", "cri": "cni"}
_PODMANS = "podman"
_BRIDGE, _READY = "the built-in bridge", "CNI, ready"
_WHOSE = {"node": "Pods", "cri": "a kubelet's Pods"}
_REMEDY = "; leave a configuration there, or serve with --network bridge"

log = logging.getLogger(__name__)


class Networks:
    """One per server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bridge = BridgeNetwork(settings)
        self._cni = CniNetwork(settings)
        self._bridging = asyncio.Lock()
        self._bridge_is_up = False
        self._owners: tuple[str, ...] = ()
        self._listeners: list[Callable[[], None]] = []

    @property
    def _deaf(self) -> bool:
        """Whether the folder says nothing of Pods of our own."""
        return self._settings.cni_conf_dir is None and not self._settings.paths.is_default

    def uses_cni(self, owner: str) -> bool:
        """Whether the next sandbox of this front door is attached by CNI."""
        mode = self._settings.network or DEFAULTS.get(owner, "auto")
        return mode == "cni" or (mode == "auto" and self._configured())

    def _configured(self) -> bool:
        if self._settings.cni_conf_dir is not None:
            return self._cni.configured
        if self._deaf or not self._cni.configured:
            return False
        try:
            return self._cni.load().name != _PODMANS
        except NotInitialized:
            return True  # somebody means it; attaching says what is wrong with it

    async def setup(self, owners: Sequence[str]) -> None:
        """Have the bridge ready if one of these front doors (all that there are) uses it, so that its first sandbox need not wait."""
        self._owners = tuple(owners)
        if not all(map(self.uses_cni, owners)):
            await self._bring_bridge_up()

    async def _bring_bridge_up(self) -> None:
        async with self._bridging:
            if not self._bridge_is_up:
                await self._bridge.setup()
                self._bridge_is_up = True

    async def attach(self, wanted: Attachment) -> tuple[str, ...]:
        """See ``BridgeNetwork.attach`` and ``CniNetwork.attach``."""
        if self.uses_cni(wanted.owner):
            return await self._cni.attach(wanted)
        await self._bring_bridge_up()
        return await self._bridge.attach(wanted)

    def takes_long(self, owner: str) -> bool:
        """Plugins are programs, one after the other."""
        return self.uses_cni(owner)

    async def detach(self, sandbox_id: str) -> None:
        """Idempotent. Raises: Unavailable when a plugin refuses."""
        if self._cni.owns(sandbox_id):
            await self._cni.detach(sandbox_id)
        if self._bridge_is_up:
            await self._bridge.detach(sandbox_id)

    async def recover(self, live: Sequence[Attachment]) -> None:
        """Each network adopts its own; what neither knows has been lost and is the bridge's to tell."""
        await self._cni.recover([item for item in live if self._cni.owns(item.sandbox_id)])
        bridged = [item for item in live if not self._cni.owns(item.sandbox_id)]
        if bridged or self._bridge_is_up or self._bridge.is_there():
            await self._bring_bridge_up()
            await self._bridge.recover(bridged)

    async def problem(self, owner: str) -> str:
        """Why no sandbox of this front door can be attached, "" if one can."""
        return await self._cni.problem() if self.uses_cni(owner) else ""

    async def run(self) -> None:
        """Follow the folder of configurations, if anybody may come to use it, and log what that means for whom."""
        modes = {self._settings.network or DEFAULTS[owner] for owner in self._owners}
        if modes == {"bridge"} or (modes == {"auto"} and self._deaf):
            return
        told = dict.fromkeys(self._owners, _BRIDGE)
        async for _ in folders.follow(self._cni.folder):
            for owner, before in told.items():
                told[owner] = now = await self._state(owner)
                if now != before:
                    well = now in (_BRIDGE, _READY)
                    log.log(logging.INFO if well else logging.WARNING, "network of %s: %s%s", _WHOSE[owner], now, "" if well else _REMEDY)
            for listener in self._listeners:
                listener()

    async def _state(self, owner: str) -> str:
        if not self.uses_cni(owner):
            return _BRIDGE
        return await self._cni.problem() or _READY

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def use_pod_cidr(self, text: str) -> None:
        self._cni.use_pod_cidr(text)

    async def teardown(self) -> None:
        """Nobody is attached any more."""
        if self._bridge_is_up:
            await self._bridge.teardown()

    def close(self) -> None:
        self._bridge.close()

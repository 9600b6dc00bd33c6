"""A network's plugins one after another: each adds to what those before it did, and they undo it in the reverse order.

Called by ``network``. Source: CNI SPEC.md (Section 3: execution of network configurations).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from podspace import errors
from podspace.kube.json import JSON
from podspace.network.cni import capabilities, plugin
from podspace.network.cni.config import NetworkConfig

AT_ONCE = 16  # plugins that run at the same time: a hundred Pods at once shall not be three hundred processes


class Chain:
    """Calls the plugins that lie in these folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._room = asyncio.Semaphore(AT_ONCE)

    async def add(self, config: NetworkConfig, call: plugin.Call, given: JSON) -> JSON:
        """Return the last plugin's result. Raises: Unavailable; what was done by then is for ``delete`` to undo."""
        result: JSON | None = None
        for item in config.plugins:
            result = await self._call(config, item, dataclasses.replace(call, command="ADD"), given, result)
        if result is None:
            raise errors.Unavailable(f'plugin type="{config.plugins[-1]["type"]}" failed (add): it gave no result')
        return result

    async def delete(self, config: NetworkConfig, call: plugin.Call, given: JSON, result: JSON | None) -> None:
        """Every plugin gets its turn, whatever the others say; the first failure is raised at the end. Raises: Unavailable."""
        failure: errors.PodspaceError | None = None
        previous = result if config.at_least("0.4.0") else None
        for item in reversed(config.plugins):
            try:
                await self._call(config, item, dataclasses.replace(call, command="DEL"), given, previous)
            except errors.PodspaceError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    async def check(self, config: NetworkConfig, call: plugin.Call, given: JSON, result: JSON) -> None:
        """Raises: Unavailable when something is no longer as it was made. Nothing is asked of a network that cannot tell."""
        if config.disable_check or not config.at_least("0.4.0"):
            return
        for item in config.plugins:
            await self._call(config, item, dataclasses.replace(call, command="CHECK"), given, result)

    async def status(self, config: NetworkConfig) -> None:
        """Raises: Unavailable when a plugin cannot add just now. Plugins before 1.1 cannot be asked."""
        if config.at_least("1.1.0"):
            for item in config.plugins:
                await self._call(config, item, plugin.Call(command="STATUS"), {}, None)

    async def _call(self, config: NetworkConfig, item: JSON, call: plugin.Call, given: JSON, previous: JSON | None) -> JSON | None:
        told = plugin.request(
            item, name=config.name, version=config.version, runtime_config=capabilities.for_plugin(item, given), previous=previous
        )
        async with self._room:
            return await plugin.call(item, told, call, self._folders)

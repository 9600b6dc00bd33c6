"""Who has which address: one symbolic link per address, ``<folder>/10.74.0.7 -> <sandbox id>``.

Called by ``bridge``. A symlink is made by one atomic system call that fails if the address is taken, so there is no half-written
file after a crash and no lock. The folder is under ``paths.run``: a reboot frees every address, as it ends every sandbox.
Knows no netlink.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from podspace import errors


class Addresses:
    """The addresses of one subnet. Network, gateway (first) and broadcast are never given out."""

    def __init__(self, folder: Path, network: ipaddress.IPv4Network) -> None:
        self._folder = folder
        self.network = network
        folder.mkdir(parents=True, exist_ok=True)
        self._owned: dict[str, ipaddress.IPv4Address] = {}
        for entry in folder.iterdir():
            self._adopt(entry)
        self._last = max(self._owned.values(), default=self.gateway)

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        return self.network.network_address + 1

    def owners(self) -> frozenset[str]:
        """Ids of the sandboxes that hold an address."""
        return frozenset(self._owned)

    def get(self, sandbox_id: str) -> ipaddress.IPv4Address | None:
        return self._owned.get(sandbox_id)

    def take(self, sandbox_id: str) -> ipaddress.IPv4Address:
        """The sandbox's address; a new one comes after the last that was given, so that a freed one rests for as long as possible.

        Raises: errors.Unavailable when the subnet is full.
        """
        if sandbox_id in self._owned:
            return self._owned[sandbox_id]
        taken = set(self._owned.values())
        for address in self._candidates():
            if address in taken:
                continue
            with contextlib.suppress(FileExistsError):
                os.symlink(sandbox_id, self._folder / str(address))
                self._owned[sandbox_id] = self._last = address
                return address
        raise errors.Unavailable(f"no free address left in {self.network}: delete some Pods, or serve with a larger --pod-cidr")

    def free(self, sandbox_id: str) -> None:
        address = self._owned.pop(sandbox_id, None)
        if address is not None:
            (self._folder / str(address)).unlink(missing_ok=True)

    def keep_only(self, live: Iterable[str]) -> None:
        for sandbox_id in self.owners() - frozenset(live):
            self.free(sandbox_id)

    def _candidates(self) -> Iterable[ipaddress.IPv4Address]:
        count = self.network.num_addresses
        start = int(self._last) - int(self.network.network_address)
        for step in range(1, count + 1):
            offset = (start + step) % count
            if 2 <= offset < count - 1:
                yield self.network.network_address + offset

    def _adopt(self, entry: Path) -> None:
        """Take over what an earlier server wrote; what is not of this subnet is of no use to anyone."""
        try:
            address = ipaddress.IPv4Address(entry.name)
            sandbox_id = os.readlink(entry)
        except (ValueError, OSError):
            return
        if address in self.network and sandbox_id not in self._owned:
            self._owned[sandbox_id] = address
        else:
            entry.unlink(missing_ok=True)

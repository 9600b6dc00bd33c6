"""What is attached by CNI, on disk: one file per sandbox, written before its first plugin is called and removed after its last.

``<lib>/network/cni/<sandbox id>.json`` holds the network's configuration as it was and what the plugins answered, so that DEL can be called
after a kill -9, after the configuration is gone, and after a reboot (addresses are often remembered on disk). A file without a result
is an ADD that did not end. Called by ``network``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podspace.kube.json import JSON
from podspace.network.cni import config as config_module
from podspace.network.cni.config import NetworkConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """``given``: the capabilities' values; ``result``: of the last plugin, None before it answered."""

    sandbox_id: str
    config: NetworkConfig
    arguments: str
    given: JSON
    result: JSON | None = None


class Attachments:
    """The records of one server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, record: Record) -> None:
        """Atomic, and on disk when it returns: what it describes may outlive a power loss."""
        self._folder.mkdir(parents=True, exist_ok=True)
        raw = {
            "config": config_module.encode(record.config),
            "arguments": record.arguments,
            "given": record.given,
            "result": record.result,
        }
        path = self._path(record.sandbox_id)
        temporary = path.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(raw, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def get(self, sandbox_id: str) -> Record | None:
        """None when it was never attached, or nothing of use is left of it."""
        try:
            raw: Any = json.loads(self._path(sandbox_id).read_text())
            config = config_module.decode(raw["config"])
            return Record(sandbox_id=sandbox_id, config=config, arguments=raw["arguments"], given=raw["given"], result=raw["result"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def has(self, sandbox_id: str) -> bool:
        return self._path(sandbox_id).exists()

    def drop(self, sandbox_id: str) -> None:
        self._path(sandbox_id).unlink(missing_ok=True)

    def ids(self) -> Iterator[str]:
        """Of all sandboxes that have a record."""
        if self._folder.is_dir():
            yield from sorted(path.stem for path in self._folder.glob("*.json"))

    def _path(self, sandbox_id: str) -> Path:
        return self._folder / f"{sandbox_id}.json"

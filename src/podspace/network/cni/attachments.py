"""What is attached by CNI, on disk: a file per sandbox, written before its first plugin is called and removed after its last.

``<lib>/network/cni/<sandbox id>.json`` holds the network's configuration as it was, ``<sandbox id>.result`` beside it what the plugins
answered, so that DEL can be called after a kill -9, after the configuration is gone, and after a reboot (addresses are often remembered
on disk). Without a result it is an ADD that did not end. Called by ``network``.
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
        """All but the result. Atomic."""
        self._folder.mkdir(parents=True, exist_ok=True)
        raw = {"config": config_module.encode(record.config), "arguments": record.arguments, "given": record.given}
        _write(self._path(record.sandbox_id), raw)

    def sync(self, sandbox_id: str) -> None:
        """Have it on disk when this returns: what it describes may outlive a power loss."""
        for path in (self._path(sandbox_id), self._folder):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def save_result(self, sandbox_id: str, result: JSON) -> None:
        """Atomic. It may be lost with the power, and then plugins undo what they did without it; they must be able to."""
        _write(self._result(sandbox_id), result)

    def get(self, sandbox_id: str) -> Record | None:
        """None when it was never attached, or nothing of use is left of it."""
        try:
            raw: Any = json.loads(self._path(sandbox_id).read_text())
            config = config_module.decode(raw["config"])
            result = self._read_result(sandbox_id)
            return Record(sandbox_id=sandbox_id, config=config, arguments=raw["arguments"], given=raw["given"], result=result)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _read_result(self, sandbox_id: str) -> JSON | None:
        try:
            found: JSON = json.loads(self._result(sandbox_id).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def has(self, sandbox_id: str) -> bool:
        return self._path(sandbox_id).exists()

    def drop(self, sandbox_id: str) -> None:
        self._result(sandbox_id).unlink(missing_ok=True)
        self._path(sandbox_id).unlink(missing_ok=True)

    def ids(self) -> Iterator[str]:
        """Of all sandboxes that have a record."""
        if self._folder.is_dir():
            yield from sorted(path.stem for path in self._folder.glob("*.json"))

    def _path(self, sandbox_id: str) -> Path:
        return self._folder / f"{sandbox_id}.json"

    def _result(self, sandbox_id: str) -> Path:
        return self._folder / f"{sandbox_id}.result"


def _write(path: Path, raw: JSON) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(raw))
    temporary.replace(path)

"""A log that was set aside and not begun again is not lost for good."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podspace.node import log_rotation
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerState
from podspace.settings import Housekeeping


class OneContainer:
    """An engine with one running container; ``refused``: why its log cannot be reopened."""

    def __init__(self, log: Path, refused: Exception | None = None) -> None:
        self._log = log
        self._refused = refused
        self._status = SimpleNamespace(id="c", config=SimpleNamespace(name="c"), state=ContainerState.RUNNING, log_path=log)

    def sandboxes(self, owner: str) -> list[Any]:
        return [SimpleNamespace(id="s")]

    def containers(self, sandbox: str) -> list[Any]:
        return [self._status]

    async def reopen_log(self, identifier: str) -> None:
        if self._refused:
            raise self._refused
        self._log.touch()


def test_a_log_that_a_killed_server_set_aside_is_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    asyncio.run(log_rotation.look(cast(Engine, OneContainer(log)), Housekeeping()))
    assert log.exists()


def test_a_log_that_cannot_be_reopened_is_where_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "0.log"
    log.write_text("a line")
    engine = OneContainer(log, OSError(28, "No space left on device"))
    asyncio.run(log_rotation.look(cast(Engine, engine), Housekeeping(log_max_bytes=1)))
    assert log.read_text() == "a line"
    assert "No space left on device" in caplog.text

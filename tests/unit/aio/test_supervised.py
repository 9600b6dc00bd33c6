"""A step that fails is told of and hurts nobody else; a cancelled one is cancelled."""

from __future__ import annotations

import asyncio
import logging

import pytest

from podspace import errors
from podspace.aio import supervised

log = logging.getLogger("test")


async def step(failure: BaseException | None) -> None:
    if failure is not None:
        raise failure


def test_what_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(supervised.tried(log, "pod a", step(None)))
    assert not asyncio.run(supervised.tried(log, "pod b", step(errors.NotFound("no such thing"))))
    assert not asyncio.run(supervised.tried(log, "pod c", step(KeyError("spec"))))
    assert [(record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("pod b: no such thing", False),
        ("pod c: a bug in podspace", True),
    ]


def test_cancellation_is_no_failure() -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(supervised.tried(log, "pod a", step(asyncio.CancelledError())))

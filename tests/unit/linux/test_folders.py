"""Following a folder that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from podspace.linux import folders


async def _told(changes: AsyncIterator[None]) -> None:
    async with asyncio.timeout(30):
        await anext(changes)


def test_a_folder_is_followed_through_its_coming_and_going(tmp_path: Path) -> None:
    async def body() -> None:
        folder = tmp_path / "etc" / "net.d"
        changes = folders.follow(folder)
        await _told(changes)  # how it is at the start
        for round_ in ("first", "again"):
            waiting = asyncio.ensure_future(_told(changes))
            folder.mkdir(parents=True)
            await waiting
            (folder / "b").write_text(round_)
            await _told(changes)
            (tmp_path / "a").write_text("x")
            (tmp_path / "a").replace(folder / "a")
            await _told(changes)
            for path in (folder / "a", folder / "b"):
                path.unlink()
                await _told(changes)
            folder.rmdir()
            await _told(changes)
            folder.parent.rmdir()

    asyncio.run(body())

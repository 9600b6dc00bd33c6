from __future__ import annotations

import asyncio

from podspace.aio.broadcast import Broadcast


def test_everybody_who_waits_is_woken_and_nobody_who_comes_later() -> None:
    async def main() -> None:
        news = Broadcast()
        early = [asyncio.ensure_future(news.wait()) for _ in range(2)]
        news.tell()
        late = asyncio.ensure_future(news.wait())
        await asyncio.wait_for(asyncio.gather(*early), 1)
        assert not late.done()
        late.cancel()

    asyncio.run(main())


def test_what_is_told_before_the_awaiting_begins_is_not_missed() -> None:
    async def main() -> None:
        news = Broadcast()
        waiting = news.wait()
        news.tell()
        await asyncio.wait_for(waiting, 1)

    asyncio.run(main())

from __future__ import annotations

import asyncio

import pytest

from podspace.runtime.container_attach import Backlog


def test_packets_come_out_in_order_and_make_room_for_more() -> None:
    async def run() -> list[bytes]:
        backlog = Backlog(10)
        found = []
        for number in range(5):
            backlog.put(bytes([1, number] * 4))
            found.append(await backlog.get())
        return found

    assert [packet[1] for packet in asyncio.run(run())] == [0, 1, 2, 3, 4]


def test_a_client_that_does_not_read_is_let_go() -> None:
    backlog = Backlog(10)
    backlog.put(b"x" * 10)
    with pytest.raises(ConnectionResetError, match="11 bytes behind"):
        backlog.put(b"x")

"""One exec or attach session: run the command and listen to the client at the same time; whoever ends first ends both.

Used by ``upgrade``. A ``Peer`` is the client, in one of the shapes of ``peers``. It must not know protocols, HTTP requests
nor Pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from podspace import errors
from podspace.streaming.channel import RemoteStreams
from podspace.wire import remotecommand
from podspace.wire.streams import Streams

_log = logging.getLogger(__name__)

Run = Callable[[Streams], Awaitable[int | None]]


class Peer(Protocol):
    """A client of one session."""

    streams: RemoteStreams

    async def listen(self) -> None:
        """Take in what the client sends; return when it is gone."""

    async def ready(self) -> None:
        """Wait until output may be sent.  Raises: TimedOut."""

    async def conclude(self, status: dict[str, Any]) -> None:
        """Send the outcome, the last thing the client reads."""

    async def close(self, listening: asyncio.Task[None]) -> None:
        """End the connection so that everything sent arrives."""


async def converse(peer: Peer, run: Run, doing: str) -> None:
    """Serve one session to its end.  Cancelled: the command is cancelled and the connection is left to whoever closes it."""
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(_listen(peer))
        command = group.create_task(_command(peer, run, doing))
        listening.add_done_callback(lambda _: command.cancel())
        await asyncio.wait([command])
        await peer.close(listening)
        listening.cancel()


async def _listen(peer: Peer) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            await peer.listen()
    finally:
        peer.streams.disconnect()


async def _command(peer: Peer, run: Run, doing: str) -> None:
    status = await _outcome(peer, run, doing)
    if peer.streams.disconnected.is_set():
        return
    with contextlib.suppress(ConnectionError):
        await peer.conclude(status)


async def _outcome(peer: Peer, run: Run, doing: str) -> dict[str, Any]:
    try:
        await peer.ready()
        return remotecommand.exit_status(await run(peer.streams) or 0)
    except (errors.PodspaceError, OSError) as error:
        return remotecommand.internal_error(f"{doing}: {error}")
    except Exception:  # this is the top of the session: the HTTP answer is long sent, so no middleware can tell the client
        _log.exception("remote command failed")
        return remotecommand.internal_error(f"{doing}: the server's log says why")

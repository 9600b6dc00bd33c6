"""Attach a client to the terminal or pipes of a container's first process, through conmon. Several at once are fine.

Called by ``Engine.attach``. Leaving does nothing to the container, but that a container with ``stdin_once`` gets end-of-file.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from podspace import errors
from podspace.oci import conmon
from podspace.runtime import layout, model, records, world
from podspace.wire import streams

BACKLOG_BYTES = 8 << 20


async def attach(here: world.World, container: records.Container, client: streams.Streams) -> None:
    """Return when the container has ended and all it said is delivered. Cancelled: detached.

    Raises: FailedPrecondition (not running; or it ended before it could be attached to, and its log has what the client missed),
    ConnectionResetError when the client is gone.
    """
    if container.state is not model.ContainerState.RUNNING:
        raise errors.FailedPrecondition(f"container {container.config.name} ({container.id}) is not running: {container.state}")
    folder = here.layout.container(container.id)
    try:
        connection = conmon.connect(folder.path)
    except (FileNotFoundError, ConnectionRefusedError) as error:  # conmon is gone, and nobody has seen the exit yet
        raise errors.FailedPrecondition(f"container {container.config.name} ended before it was attached to") from error
    except OSError as error:
        raise errors.FailedPrecondition(f"container {container.config.name} ({container.id}) cannot be attached to: {error}") from error
    with connection:
        received = await _serve(connection, container, folder, client)
    if not received and _said_something_before(container):
        raise errors.FailedPrecondition(f"container {container.config.name} ended before it was attached to: its log has what it said")


def _said_something_before(container: records.Container) -> bool:
    """Whether the one client of a ``stdin_once`` container came too late: ``kubectl run -i`` then shows the log instead of nothing."""
    log = container.intent.log_path
    return container.config.stdin_once and log is not None and log.exists() and log.stat().st_size > 0


async def _serve(connection: socket.socket, container: records.Container, folder: layout.Folder, client: streams.Streams) -> bool:
    """Return whether the container said anything."""
    gone: BaseException | None = None
    received = False
    try:
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(_disconnected(client))]
            if client.stdin:
                helpers.append(group.create_task(_input(connection, container, client)))
            if container.config.tty:
                helpers.append(group.create_task(_resizes(folder, client)))
            received = await _output(connection, client)
            for helper in helpers:
                helper.cancel()
    except* ConnectionResetError as group_of:
        gone = group_of
    if gone is not None:  # not raised up there: Python before 3.11.4, as Debian 12 has it, would wrap it in a group
        raise ConnectionResetError("the client is gone") from gone
    return received


async def _output(connection: socket.socket, client: streams.Streams) -> bool:
    """Read as fast as the container writes, send as fast as the client reads. Return whether there was anything.

    conmon waits for every client before it reads on: one that does not read would stop the container, so it is let go instead.
    """
    backlog, received = Backlog(BACKLOG_BYTES), False
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send(backlog, client))
        loop = asyncio.get_running_loop()
        while packet := await _receive(loop, connection):
            if sending.done():
                break
            received = True
            backlog.put(packet)
        backlog.put(b"")
    return received


async def _receive(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    try:
        return await loop.sock_recv(connection, conmon.PACKET_BYTES + 1)
    except ConnectionError:  # conmon died
        return b""


async def _send(backlog: Backlog, client: streams.Streams) -> None:
    while packet := await backlog.get():
        data = memoryview(packet)[1:]
        await (client.write_stderr(data) if packet[0] == conmon.STDERR else client.write_stdout(data))


class Backlog:
    """Packets that a client has not taken yet. ``b""`` is the end."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting_bytes = 0
        self._packets: asyncio.Queue[bytes] = asyncio.Queue()

    def put(self, packet: bytes) -> None:
        """Never waits. Raises: ConnectionResetError when the client is too far behind."""
        self._waiting_bytes += len(packet)
        if self._waiting_bytes > self._limit_bytes:
            raise ConnectionResetError(f"the client is {self._waiting_bytes} bytes behind and holds up the container")
        self._packets.put_nowait(packet)

    async def get(self) -> bytes:
        packet = await self._packets.get()
        self._waiting_bytes -= len(packet)
        return packet


async def _input(connection: socket.socket, container: records.Container, client: streams.Streams) -> None:
    loop = asyncio.get_running_loop()
    open_ = container.config.stdin
    while data := await client.read_stdin():
        for start in range(0, len(data), conmon.PACKET_BYTES):
            if open_:
                try:
                    await loop.sock_sendall(connection, memoryview(data)[start : start + conmon.PACKET_BYTES])
                except OSError:  # the container has ended; go on reading, or the client would be stuck
                    open_ = False
    if open_ and container.config.stdin_once:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)


async def _resizes(folder: layout.Folder, client: streams.Streams) -> None:
    while True:
        size = await client.next_resize()
        with contextlib.suppress(OSError):
            conmon.resize(folder.path, width=size.width, height=size.height)


async def _disconnected(client: streams.Streams) -> None:
    await client.disconnected.wait()
    raise ConnectionResetError("the client is gone")

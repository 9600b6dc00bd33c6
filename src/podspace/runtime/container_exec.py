"""Run another process in a running container, with pipes or a terminal.

The OCI runtime's ``exec`` stays as our child and ends as the process does. A client that goes away takes the process along: it, and what
is left of its session, is killed. Called by ``Engine.exec`` and ``exec_sync``; knows no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from podspace import errors
from podspace.aio import cleanup
from podspace.oci import console
from podspace.runtime import exec_session, model, pump, records, world
from podspace.wire import streams

_ABORT_SECONDS = 10


async def run(here: world.World, container: records.Container, argv: Sequence[str], client: streams.Streams) -> int:
    """Return the exit code of the process (128+n for signal n).

    Cancelled, or the client gone: the process and its session are killed.
    Raises: FailedPrecondition (not running), Internal (cannot be executed, with the OCI runtime's words), ConnectionResetError.
    """
    if container.state is not model.ContainerState.RUNNING:
        raise errors.FailedPrecondition(f"container {container.config.name} ({container.id}) is not running: {container.state}")
    async with exec_session.started(here, container, argv, client) as session:
        try:
            status = await _serve(session, client)
        except BaseException:
            await cleanup.finish(exec_session.abort(here, container, session), _ABORT_SECONDS)
            raise
        if status != 0 and exec_session.never_began(container, session):
            raise exec_session.refused(here, container, session)
        return status if status >= 0 else 128 - status


async def _serve(session: exec_session.Session, client: streams.Streams) -> int:
    """Pump until the process has ended and all it said is delivered."""
    ended = asyncio.Event()
    gone: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(_disconnected(client))]
            if session.stdin >= 0:
                helpers.append(group.create_task(_input(session, client)))
            if session.terminal:
                helpers.append(group.create_task(_resizes(session, client)))
            outputs = [group.create_task(pump.output(session.stdout, _of_the_process(session, client.write_stdout), ended))]
            if session.stderr >= 0:
                outputs.append(group.create_task(pump.output(session.stderr, _of_the_process(session, client.write_stderr), ended)))
            status = await session.child.wait()
            ended.set()
            await asyncio.gather(*outputs)
            for helper in helpers:
                helper.cancel()
    except* ConnectionResetError as group_of:
        gone = group_of
    if gone is not None:  # not raised up there: Python before 3.11.4, as Debian 12 has it, would wrap it in a group
        raise ConnectionResetError("the client is gone") from gone
    return status


def _of_the_process(session: exec_session.Session, write: pump.Write) -> pump.Write:
    """Pass on what the process says. What the OCI runtime says when there is none to be is told once, as the outcome."""
    begun = False

    async def pass_on(data: bytes) -> None:
        nonlocal begun
        if not begun:
            begun = session.pid_file.exists() or bool(await exec_session.process_of(session)) or session.pid_file.exists()
        if begun:
            await write(data)

    return pass_on


async def _input(session: exec_session.Session, client: streams.Streams) -> None:
    await pump.stdin(client, session.stdin)
    if not session.terminal:
        _shut(session.stdin)


def _shut(fd: int) -> None:
    """Close our end of a pipe and leave /dev/null under its number, so that a later close hits nobody else's descriptor."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, fd, inheritable=False)
    os.close(null)


async def _resizes(session: exec_session.Session, client: streams.Streams) -> None:
    while True:
        size = await client.next_resize()
        with contextlib.suppress(OSError):
            console.set_size(session.stdout, width=size.width, height=size.height)
            if session.copied:
                session.child.send_signal(signal.SIGWINCH)


async def _disconnected(client: streams.Streams) -> None:
    await client.disconnected.wait()
    raise ConnectionResetError("the client is gone")

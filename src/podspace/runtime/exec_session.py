"""One exec under way: the OCI runtime's process, our ends of its pipes or terminal, and how to put an end to it.

Called by ``container_exec``, which moves the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from podspace import errors
from podspace.aio import cleanup, fds, process
from podspace.linux import inotify, pidfd, procfs
from podspace.oci import console, runtimes
from podspace.runtime import container_create, layout, records, world
from podspace.wire import streams

_ABORT_SECONDS = 10
_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One exec under way. Descriptors are ours; -1 = none."""

    child: process.Child
    folder: Path
    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    terminal: bool = False
    copied: bool = False  # the terminal is ours and the OCI runtime copies to the container's: it must be told of a new size

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def close(self) -> None:
        for fd in {self.stdin, self.stdout, self.stderr} - {-1}:
            with contextlib.suppress(OSError):
                os.close(fd)


def never_began(container: records.Container, session: Session) -> bool:
    """Whether there was no process at all, asked when the OCI runtime has ended. With a container its files go: then only words tell."""
    return not session.pid_file.exists() and (not container.exited.is_set() or bool(runtimes.reason(session.log)))


def refused(here: world.World, container: records.Container, session: Session) -> errors.Internal:
    said = runtimes.words(here.runtime_of(container).program, runtimes.reason(session.log) or "no reason given")
    return errors.Internal(f"failed to exec in container: OCI runtime exec failed: {said}")


@contextlib.asynccontextmanager
async def started(here: world.World, container: records.Container, argv: Sequence[str], client: streams.Streams) -> AsyncIterator[Session]:
    folder = here.layout.container(container.id).path / f"exec-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        template = container_create.process_template(here, container)
        template |= {"args": list(argv), "terminal": client.tty}
        if client.tty and not any(entry.startswith("TERM=") for entry in template["env"]):
            template["env"] = [*template["env"], "TERM=xterm"]
        layout.write_json(folder / "process.json", template)
        start = _with_pipes
        if client.tty:
            start = _with_terminal if here.runtime_of(container).is_crun else _with_own_terminal
        session = await start(here, container, folder, client)
        try:
            yield session
        finally:
            session.close()
    finally:
        layout.remove_tree(folder)


def _argv(here: world.World, container: records.Container, folder: Path, *, terminal: bool = False, console_socket: str = "") -> list[str]:
    return here.runtime_of(container).exec_argv(
        container.id,
        process_file=folder / "process.json",
        pid_file=folder / "pid",
        log=folder / "log",
        terminal=terminal,
        console_socket=console_socket,
    )


def _spawn(
    here: world.World,
    container: records.Container,
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    cwd: str | None = None,
) -> process.Child:
    """Start the OCI runtime. crun's exec leaves oom_score_adj alone: without this the process would be spared as the server is."""
    with procfs.oom_score_adj(here.machine.oom_score(container.config.resources.oom_score_adj)):
        return here.runtime_of(container).spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd)


async def _with_pipes(here: world.World, container: records.Container, folder: Path, client: streams.Streams) -> Session:
    theirs: list[int] = []
    ours: dict[str, int] = {}
    try:
        stdin, ours["stdin"] = fds.pipe_to_child()
        theirs.append(stdin)
        if not client.stdin:  # no /dev/null: crun before 1.24 would give the machine's own to the container's user
            os.close(ours.pop("stdin"))
        for name in ("stdout", "stderr"):
            ours[name], end = fds.pipe_from_child()
            theirs.append(end)
        stdout, stderr = theirs[-2:]
        for fd in theirs:
            os.fchmod(fd, 0o666)  # whoever the process runs as may open /dev/stdout again
        child = _spawn(here, container, _argv(here, container, folder), stdin=stdin, stdout=stdout, stderr=stderr)
    except BaseException:
        for fd in ours.values():
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    return Session(child=child, folder=folder, stdin=ours.get("stdin", -1), stdout=ours["stdout"], stderr=ours["stderr"])


async def _with_terminal(here: world.World, container: records.Container, folder: Path, client: streams.Streams) -> Session:
    with console.ConsoleSocket(folder, "console") as listener:
        argv = _argv(here, container, folder, terminal=True, console_socket=listener.argument)
        child = _spawn(here, container, argv, cwd=listener.cwd)
        session = Session(child=child, folder=folder, terminal=True)
        try:
            fd = await _terminal_or_end(listener, child)
        except BaseException:
            await cleanup.finish(abort(here, container, session), _ABORT_SECONDS)
            raise
    if fd < 0:
        raise refused(here, container, session)
    console.use_crlf(fd)
    return Session(child=child, folder=folder, stdin=fd, stdout=fd, terminal=True)


async def _with_own_terminal(here: world.World, container: records.Container, folder: Path, client: streams.Streams) -> Session:
    """runc gives its terminal away only when it detaches, and then nobody learns the exit code: let it copy to one of ours."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    try:
        argv = _argv(here, container, folder, terminal=True)
        child = _spawn(here, container, argv, stdin=theirs, stdout=theirs, stderr=theirs)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return Session(child=child, folder=folder, stdin=ours, stdout=ours, terminal=True, copied=True)


async def _terminal_or_end(listener: console.ConsoleSocket, child: process.Child) -> int:
    """The terminal, or -1 if the OCI runtime ended without one."""
    async with asyncio.TaskGroup() as group:
        receiving = group.create_task(listener.receive())
        ending = group.create_task(child.wait())
        await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            ending.cancel()
            return receiving.result()
        receiving.cancel()
    return -1


async def abort(here: world.World, container: records.Container, session: Session) -> None:
    """Kill the process and what it started; then the OCI runtime ends by itself."""
    if session.child.running:
        pid = await process_of(session)
        if pid:
            candidates = functools.partial(here.cgroups.processes, container.intent.cgroup)
            await pidfd.wait_all(await asyncio.to_thread(_kill_family, pid, candidates))  # there may be thousands to look at
        else:
            session.child.send_signal(signal.SIGKILL)
        await session.child.wait()


def _kill_family(pid: int, candidates: Callable[[], Sequence[int]]) -> set[int]:
    """Kill a process and those of ``candidates`` that descend from it or are in its session; return who was killed.

    First all are stopped, and looked for again: what was stopped starts no more.
    """
    handle = pidfd.ProcessHandle.open(pid)
    if handle is None:
        return set()
    handle.send_signal(signal.SIGSTOP)
    killed = {pid}
    for _ in range(_LOOKS):  # one that forks and ends, over and over, could keep us looking
        more = family(pid, [found for other in candidates() if (found := procfs.stat(other)) is not None]) - killed
        if not more:
            break
        _send(more, signal.SIGSTOP)
        killed |= more
    _send(killed - {pid}, signal.SIGKILL)
    handle.send_signal(signal.SIGKILL)
    handle.close()
    return killed


def _send(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def family(pid: int, stats: Sequence[procfs.Stat]) -> set[int]:
    """``pid``, its session if it leads one, and all descendants of these. Pure."""
    members = {pid} | {found.pid for found in stats if found.session == pid}
    while more := {found.pid for found in stats if found.parent in members} - members:
        members |= more
    return members


async def process_of(session: Session) -> int:
    """The host's pid of the process: wait until the OCI runtime has written it or ended (then 0)."""
    with inotify.Inotify() as watcher:
        watcher.add(session.folder, inotify.IN_CREATE | inotify.IN_MOVED_TO | inotify.IN_CLOSE_WRITE)
        while session.child.running:
            with contextlib.suppress(FileNotFoundError, ValueError):
                return int(session.pid_file.read_text())
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(watcher.read()), group.create_task(session.child.wait())]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()
    return 0

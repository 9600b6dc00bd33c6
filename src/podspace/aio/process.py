"""Child processes, the short way: spawn, wait on a pidfd, keep the tail of what they said.

asyncio's subprocess support starts a thread per child on Python 3.11 and sets up pipes and protocols nobody here needs;
a child here gets plain descriptors and is awaited through its pidfd. ``run`` is for programs that do one thing and end.
Called by ``oci``, ``network``, ``image``; knows no program by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from podspace import errors
from podspace.aio import cleanup, fds

STDERR_TAIL_BYTES = 4096
_REAP_SECONDS = 10
Within = Callable[[], contextlib.AbstractContextManager[object]]  # where this thread is while it forks: namespaces are inherited
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def fixed_environment() -> dict[str, str]:
    """What a program we drive sees: nothing of the server's own environment but the search path."""
    return {"PATH": os.environ.get("PATH", PATH), "LC_ALL": "C.UTF-8"}


class Child:
    """A child process of ours. Whoever spawns it awaits ``wait`` (or nobody reaps it)."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        status = self._popen.wait()
        if not self._exited.done():
            self._exited.set_result(status)

    @property
    def running(self) -> bool:
        return self._pidfd >= 0

    async def wait(self) -> int:
        """Return the exit status, negative for a signal. May be awaited by several, and cancelled."""
        return await asyncio.shield(self._exited)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens once the child is gone."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def kill(self) -> int:
        """SIGKILL, then wait."""
        self.send_signal(signal.SIGKILL)
        return await self.wait()


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    cwd: str | None = None,
    within: Within = contextlib.nullcontext,
    executable: str | None = None,
) -> Child:
    """Start a program with a fixed environment and no descriptor but those given. ``executable``: the file, where argv does not name it.

    Raises: ToolError if it cannot be started.
    """
    variables = fixed_environment()
    variables.update(environment or {})
    try:
        with within():
            popen = subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, env=variables, cwd=cwd, executable=executable
            )
    except OSError as error:
        raise errors.ToolError(argv, 127, f"{error.strerror}: {error.filename or argv[0]}") from error
    return Child(popen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a program that ended left behind. ``exit_status`` is negative for a signal."""

    argv: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes

    def check(self) -> Completed:
        """Return self. Raises: ToolError when the program failed."""
        if self.exit_status != 0:
            raise errors.ToolError(self.argv, self.exit_status, self.stderr[-STDERR_TAIL_BYTES:].decode(errors="replace"))
        return self


def _memory_file(name: str) -> io.FileIO:
    return io.FileIO(os.memfd_create(name), "w+b")


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    cwd: str | None = None,
    pass_fds: Sequence[int] = (),
    silent: bool = False,
    within: Within = contextlib.nullcontext,
    executable: str | None = None,
) -> Completed:
    """Run a program to its end and return what it printed (kept in memory files, so never a deadlock).

    ``silent``: it prints where nobody reads; for a program that leaves others running, which would hold those files as long as they live.
    That is no /dev/null: crun before 1.24 gives what it prints to away to the container's user, and that would be the whole machine's.
    Cancelled: the program is killed. Raises: ToolError only if it cannot be started; see ``Completed.check``.
    """
    with contextlib.ExitStack() as stack:
        source, out, err = (stack.enter_context(_memory_file(name)) for name in ("stdin", "stdout", "stderr"))
        ends = fds.closed_pipes() if silent else ()
        for fd in ends:
            stack.callback(os.close, fd)
        if stdin:
            source.write(stdin)
            source.seek(0)
        child = spawn(
            argv,
            stdin=source.fileno() if stdin else ends[0] if ends else subprocess.DEVNULL,
            stdout=ends[1] if ends else out.fileno(),
            stderr=ends[1] if ends else err.fileno(),
            pass_fds=pass_fds,
            environment=environment,
            cwd=cwd,
            within=within,
            executable=executable,
        )
        try:
            status = await child.wait()
        except asyncio.CancelledError:
            await cleanup.finish(child.kill(), _REAP_SECONDS)
            raise
        for file in (out, err):
            file.seek(0)
        return Completed(argv=tuple(argv), exit_status=status, stdout=out.read(), stderr=err.read())


def install_child_watcher() -> None:
    """Let asyncio's own subprocesses be awaited by pidfd on Python 3.11 as 3.12 does by itself. Call once, before the loop runs."""
    if sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())

"""crun, runc or another OCI runtime: which one, how to call it, and what it says when it refuses.

Both take the same commands and flags, so one class drives them. Called by ``runtime`` and, for its arguments, by ``conmon``.
Knows bundles and ids; nothing of sandboxes. Source: crun(1), runc(8), OCI runtime-spec runtime.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import shutil
import signal
import subprocess
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.aio import cleanup, process
from podspace.linux import mountview, pidfd, procfs, sealed

log = logging.getLogger(__name__)
CHOICE = ("crun", "runc")
_RUN_SECONDS = 60.0
_SHORT_CALLS = frozenset({"create", "run", "start", "state", "delete", "update", "kill"})


@functools.cache
def find(name: str = "") -> Path:
    """Return the program. ``name``: "" = crun, else runc; a name on PATH, or a path. Raises: Unsupported."""
    for candidate in (name,) if name else CHOICE:
        found = shutil.which(candidate)
        if found is not None:
            return Path(found).resolve() if os.path.isabs(candidate) else Path(found)
    wanted = name or " or ".join(CHOICE)
    raise errors.Unsupported(f"no OCI runtime: {wanted} is not on PATH; install it (Debian, Ubuntu: apt install crun)")


class OciRuntime:
    """One OCI runtime with a state folder of ours. Every verb is one short-lived process.

    ``systemd_cgroups``: it asks systemd for cgroups. ``hide_v2``: it does not bear the sight of v2 cgroups beside v1 ones, and is called
    in a ``mountview``.
    """

    def __init__(self, program: Path, root: Path, *, hide_v2: bool = False, systemd_cgroups: bool = False) -> None:
        self.program = program
        self.root = root
        self._hide_v2 = hide_v2
        self._systemd_cgroups = systemd_cgroups
        self._copy = _Copy(program) if self.is_crun else None

    @property
    def is_crun(self) -> bool:
        return "crun" in self.program.name

    def prepare(self) -> None:
        """Make what calls need, so that the first one need not. Raises: OSError."""
        _ = self._executable, self._within

    def global_arguments(self, log: Path | None = None) -> list[str]:
        """Arguments before the verb."""
        arguments = [f"--root={self.root}", *(["--systemd-cgroup"] if self._systemd_cgroups else [])]
        if log is not None:
            arguments += [f"--log={log}", "--log-format=json"]
        return arguments

    @contextlib.contextmanager
    def callable_by_others(self) -> Iterator[list[str]]:
        """The words by which another program (conmon), which stays in the host's mounts, can call the runtime inside this block.

        Raises: Unsupported, OSError.
        """
        program = self._executable or str(self.program)
        if not self._hide_v2:
            yield [program]
            return
        nsenter = shutil.which("nsenter")
        if nsenter is None:
            raise errors.Unsupported("nsenter is not on PATH; install it (Debian, Ubuntu: apt install util-linux)")
        with self._fresh_view() as view:
            yield [nsenter, f"--mount=/proc/{os.getpid()}/fd/{view}", "--", program]

    @contextlib.contextmanager
    def _fresh_view(self) -> Iterator[int]:
        """For calls that look at the host's mounts."""
        view = mountview.fresh()
        try:
            yield view
        finally:
            asyncio.get_running_loop().run_in_executor(None, os.close, view)

    @functools.cached_property
    def _bare_view(self) -> int:
        """For all other calls."""
        view = mountview.bare((self.root, self.program))
        weakref.finalize(self, os.close, view)
        return view

    @property
    def _within(self) -> process.Within:
        return functools.partial(mountview.inside, self._bare_view) if self._hide_v2 else contextlib.nullcontext

    def spawn(self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, cwd: str | None = None) -> process.Child:
        """Start a command line that one of ours made. Raises: ToolError."""
        return process.spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, within=self._within, executable=self._executable)

    async def _run(
        self, argv: Sequence[str], *, stdin: bytes = b"", silent: bool = False, within: process.Within | None = None
    ) -> process.Completed:
        return await process.run(argv, stdin=stdin, silent=silent, within=within or self._within, executable=self._executable)

    @property
    def _executable(self) -> str | None:
        return self._copy.path if self._copy is not None else None

    def _argv(self, *words: str, log: Path | None = None) -> list[str]:
        return [str(self.program), *self.global_arguments(log), *words]

    async def run_detached(self, identifier: str, bundle: Path, *, pid_file: Path, log: Path) -> None:
        """Create and start; the container becomes nobody's child. Raises: ToolError with the runtime's own words.

        Cancelled: it comes to its end all the same. crun leaves the work to a process that is nobody's child either: to kill the one we
        know would not stop it.
        """
        words = ("run", "--detach", f"--bundle={bundle}", f"--pid-file={pid_file}", identifier)
        if not self._hide_v2:
            await cleanup.finish(self._checked(log, *words, silent=True), _RUN_SECONDS)
            return
        with self._fresh_view() as view:
            within = functools.partial(mountview.inside, view)
            await cleanup.finish(self._checked(log, *words, silent=True, within=within), _RUN_SECONDS)

    async def start(self, identifier: str, *, log: Path) -> None:
        """Let a created container's process go. Raises: ToolError."""
        await self._checked(log, "start", identifier)

    async def state(self, identifier: str) -> str:
        """Return creating, created, running or stopped; "" when the runtime knows no such container, or does not work at all."""
        try:
            done = await self._run(self._argv("state", identifier))
            return str(json.loads(done.stdout)["status"]) if done.exit_status == 0 else ""
        except (errors.ToolError, ValueError, KeyError, TypeError) as error:
            log.warning("%s does not tell the state of %s: %s", self.program, identifier, error)
            return ""

    async def delete(self, identifier: str) -> None:
        """Kill and remove the container, its cgroup and the runtime's state. Unknown: fine."""
        state = self.root / identifier
        if not state.exists():
            return
        try:
            (await self._run(self._argv("delete", "--force", identifier))).check()
        except (
            errors.ToolError
        ) as error:  # killed while it wrote its state, it does not understand that itself; or it is not there any more
            if state.exists():
                log.warning("%s left state it cannot delete, removing %s: %s", self.program.name, state, error)
                await asyncio.to_thread(shutil.rmtree, state, ignore_errors=True)

    async def forget(self, identifier: str) -> None:
        """The same for one whose processes are dead and whose cgroup the caller removes.

        Then crun has nothing left but a folder, unless systemd or a hook is to be told. Source: crun's libcrun_container_delete.
        """
        state = self.root / identifier
        if self.is_crun and not self._systemd_cgroups and not _has_hooks(state / "config.json"):
            await asyncio.to_thread(shutil.rmtree, state, ignore_errors=True)
        else:
            await self.delete(identifier)

    async def settle(self, seconds: float, *, contained: Collection[int] = ()) -> None:
        """Let the calls of a former server, which outlive it, come to their end; kill what takes longer than ``seconds``.

        Not ``exec``: that lasts as long as the program it runs. ``contained``: processes in containers; until it is started, a created
        one's first process still has the arguments of the call that made it.
        """
        pids = [pid for pid in procfs.pids() if pid not in contained and self._is_short_call(procfs.cmdline(pid))]
        try:
            async with asyncio.timeout(seconds):
                await pidfd.wait_all(pids)
        except TimeoutError:
            for pid in pids:
                if self._is_short_call(procfs.cmdline(pid)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            await pidfd.wait_all(pids)

    def _is_short_call(self, words: list[str]) -> bool:
        return f"--root={self.root}" in words and bool(_SHORT_CALLS.intersection(words)) and "exec" not in words

    async def update(self, identifier: str, resources: dict[str, Any]) -> None:
        """Change the limits of a container; ``resources`` is ``linux.resources``. Raises: ToolError."""
        argv = self._argv("update", "--resources=/dev/stdin", identifier)
        (await self._run(argv, stdin=json.dumps(resources).encode())).check()

    def exec_argv(
        self, identifier: str, *, process_file: Path, pid_file: Path, log: Path, terminal: bool, console_socket: str
    ) -> list[str]:
        """The command that runs ``process_file`` (an OCI process object) in a running container and exits as it does."""
        words = ["exec", f"--process={process_file}", f"--pid-file={pid_file}"]
        words += ["--tty"] if terminal else []
        words += [f"--console-socket={console_socket}"] if console_socket else []
        return self._argv(*words, identifier, log=log)

    async def _checked(self, log: Path, *words: str, silent: bool = False, within: process.Within | None = None) -> None:
        argv = self._argv(*words, log=log)
        done = await self._run(argv, silent=silent, within=within)
        if done.exit_status != 0:
            said = reason(log) or done.stderr.decode(errors="replace")
            raise errors.ToolError(argv, done.exit_status, said)


class _Copy:
    """crun runs from a copy of itself that no container can change, and makes one each time unless it is in a sealed one already.

    Here is one for all calls, made anew when the program is; it saves crun half of its time. None where nothing is run from memory.
    Source: crun's cloned_binary.c, which allows for it.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._made_of = (0, 0)
        self._fd = -1
        self._close: Callable[[], object] = lambda: None

    @property
    def path(self) -> str | None:
        """For us and for others, as long as we live."""
        try:
            found = self._program.stat()
        except OSError:
            return None
        if self._made_of != (found.st_ino, found.st_mtime_ns):
            self._made_of = (found.st_ino, found.st_mtime_ns)
            self._remake()
        return f"/proc/{os.getpid()}/fd/{self._fd}" if self._fd >= 0 else None

    def _remake(self) -> None:
        self._close()
        self._fd, self._close = -1, lambda: None
        try:
            fd = sealed.copy(str(self._program))
        except OSError as error:
            log.info("%s cannot be copied to memory: %s", self._program, error)
            return
        close = weakref.finalize(self, os.close, fd)
        try:
            subprocess.run([f"/proc/self/fd/{fd}", "--version"], pass_fds=(fd,), capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            log.info("%s is not run from memory: %s", self._program, error)
            close()
        else:
            self._fd, self._close = fd, close


def _has_hooks(spec: Path) -> bool:
    """Whether a container's spec, as crun keeps it, may have any. No spec, no container."""
    try:
        return b'"hooks"' in spec.read_bytes()
    except OSError:
        return False


def reason(log: Path) -> str:
    """Return the last error an OCI runtime wrote to its JSON log, "" if none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    found = ""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level", "error") in ("error", "fatal"):
            found = str(entry.get("msg", "")) or found
    return found.strip()


def words(program: Path, said: str) -> str:
    """The runtime's sentence with the program in front, as a status message has it."""
    return f"{program.name}: {said}" if said and not said.startswith(program.name) else said

"""conmon: the small program that stays with a container, so that the server need not.

It makes the container's pipes or terminal, calls the OCI runtime's ``create``, writes the CRI log, serves attach on a socket, and leaves
the exit code in a file. It detaches itself and survives us. Called by ``runtime``.
Files it keeps in the bundle: ``attach`` (SEQPACKET socket), ``ctl`` (FIFO for resize and log reopening), ``conmon.pid``.
Source: conmon(8).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podspace import errors
from podspace.aio import cleanup, fds, process
from podspace.oci import runtimes

PACKET_BYTES = 32 * 1024  # conmon's buffer for one attach packet; a longer one would be cut
STDOUT, STDERR = 2, 3  # first byte of a packet from the attach socket
_RESIZE, _REOPEN = 1, 2  # first number of a line to ``ctl``
_DETACH_SECONDS = 30
_SUN_PATH_BYTES = 108
_TERMINAL_NAME = "conmon-term.XXXXXX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One container to create. ``log_path`` None keeps no log. ``bundle`` must exist, with config.json in it."""

    identifier: str
    name: str
    bundle: Path
    exit_dir: Path
    scratch: Path  # for a socket, so it should be short; /tmp is used when it is too long
    pid_file: Path
    conmon_pid_file: Path
    runtime_log: Path
    log_path: Path | None
    stdin: bool
    stdin_once: bool
    terminal: bool


def program() -> Path:
    """Raises: Unsupported."""
    found = shutil.which("conmon")
    if found is None:
        raise errors.Unsupported("conmon is not on PATH; install it (Debian, Ubuntu: apt install conmon)")
    return Path(found)


def argv(request: Request, runtime: runtimes.OciRuntime, call: Sequence[str]) -> list[str]:
    """The command line. ``call``: the words that call the runtime."""
    words = [
        str(program()),
        "--api-version",
        f"--cid={request.identifier}",
        f"--cuuid={request.identifier}",
        f"--name={request.name}",
        f"--runtime={call[0]}",
        f"--bundle={request.bundle}",
        f"--container-pidfile={request.pid_file}",
        f"--conmon-pidfile={request.conmon_pid_file}",
        f"--exit-dir={request.exit_dir}",
        f"--log-path={'k8s-file:' + str(request.log_path) if request.log_path else 'none'}",
        "--full-attach",
        "--no-sync-log",
        "--log-level=error",
    ]
    words += [f"--runtime-arg={word}" for word in (*call[1:], *runtime.global_arguments(request.runtime_log))]
    if request.stdin:
        words.append("--stdin")
        if not request.stdin_once:
            words.append("--leave-stdin-open")
    if request.terminal:
        words.append("--terminal")
    return words


async def create(request: Request, runtime: runtimes.OciRuntime) -> int:
    """Start conmon, which creates the container; return the pid of the container's first process, waiting to be started.

    Cancelled: conmon may live on, and its pid file is there if it does. Raises: ToolError with the OCI runtime's words.
    """
    with runtime.callable_by_others() as call:
        return await _create(request, argv(request, runtime, call))


async def _create(request: Request, command: Sequence[str]) -> int:
    read_end, write_end = fds.pipe_from_child()
    try:
        environment = {"_OCI_SYNCPIPE": str(write_end)}
        if len(os.fsencode(request.scratch)) + len(_TERMINAL_NAME) + 1 < _SUN_PATH_BYTES:
            environment["TMPDIR"] = str(request.scratch)
        try:
            # conmon writes a file named "oom" into its working directory when the kernel kills for want of memory
            child = process.spawn(command, pass_fds=(write_end,), environment=environment, cwd=str(request.bundle))
        finally:
            os.close(write_end)
        # conmon writes its pid file and detaches at once; what it then has to say comes through the pipe
        status = await cleanup.finish(child.wait(), _DETACH_SECONDS)
        said = await _read_line(read_end)
    finally:
        os.close(read_end)
    answer = _parse(said)
    pid = answer.get("data", -1)
    if status == 0 and isinstance(pid, int) and pid > 0:
        return pid
    raise errors.ToolError(
        command, status or 1, runtimes.reason(request.runtime_log) or str(answer.get("message", "")) or "conmon ended without a word"
    )


async def _read_line(fd: int) -> bytes:
    said = b""
    while not said.endswith(b"\n"):
        chunk = await fds.read(fd)
        if not chunk:
            break
        said += chunk
    return said


def _parse(said: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(said or b"{}")
    except ValueError:
        return {"message": said.decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}


def connect(bundle: Path) -> socket.socket:
    """Connect to a container's attach socket; non-blocking. Packets out: stdin. Packets in: one byte STDOUT or STDERR, then data.

    Raises: OSError when conmon is gone.
    """
    folder = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(f"/proc/self/fd/{folder}/attach")  # the full path may be too long for a socket's name
        except OSError:
            connection.close()
            raise
    finally:
        os.close(folder)
    connection.setblocking(False)
    return connection


def _control(bundle: Path, line: str) -> None:
    fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def resize(bundle: Path, *, width: int, height: int) -> None:
    """Set the size of the container's terminal. Raises: OSError when conmon is gone."""
    _control(bundle, f"{_RESIZE} {min(height, 1000)} {min(width, 1000)}\n")


def reopen_log(bundle: Path) -> None:
    """Go on writing to a new file at the log's path (the old one was renamed). Raises: OSError when conmon is gone."""
    _control(bundle, f"{_REOPEN} 0 0\n")


def exit_code(exit_dir: Path, identifier: str) -> tuple[int, int] | None:
    """Return (exit code, when in Unix nanoseconds), or None while there is none. 128+n for signal n."""
    file = exit_dir / identifier
    try:
        return int(file.read_text()), file.stat().st_mtime_ns
    except (FileNotFoundError, ValueError):
        return None

"""Signals to processes of a Pod, by container and name instead of by number found by eye.

Called by ``service`` with a fresh census. Sent through a pidfd of exactly the process that was seen: its start time is compared after the
descriptor is open, so a number that came round again gets nothing. /pause is spared unless named on purpose: its end ends all.
Source: pidfd_open(2), signal(7); pid_namespaces(7) on signals to a PID 1.
"""

from __future__ import annotations

import os
import signal as signal_numbers
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from podspace import errors
from podspace.kube.json import JSON
from podspace.lens import model, procdir, proctext

_UNSTOPPABLE = (signal_numbers.SIGKILL, signal_numbers.SIGSTOP)
_DEAD = "ZXx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which signal to whom. ``container`` "" = the only one; ``process`` "" = its main process, digits = a PID as the Pod sees it."""

    number: int
    container: str = ""
    process: str = ""
    even_pause: bool = False


def parse(spec: JSON) -> Wanted:
    """Of ``PodSignal.spec``. Raises: BadRequest."""
    texts = {key: spec.get(key, "") for key in ("signal", "container", "process")}
    for key, value in texts.items():
        if not isinstance(value, str | int):
            raise errors.BadRequest(f"spec.{key}: expected text")
    number = signal_number(str(texts["signal"]))
    return Wanted(number=number, container=str(texts["container"]), process=str(texts["process"]), even_pause=spec.get("evenPause") is True)


def signal_number(name: str) -> int:
    """``HUP``, ``SIGHUP``, ``1``, ``SIGRTMIN+3``. Raises: BadRequest."""
    text = name.strip().upper()
    if text.isdigit() and 1 <= int(text) <= signal_numbers.SIGRTMAX:
        return int(text)
    base, plus, offset = text.removeprefix("SIG").partition("+")
    known = signal_numbers.Signals.__members__.get(f"SIG{base}")
    if known is None or (plus and not (base == "RTMIN" and offset.isdigit() and known + int(offset) <= signal_numbers.SIGRTMAX)):
        raise errors.BadRequest(f'"{name}" is not a signal: write a name such as HUP or SIGTERM, or a number from 1 to 64')
    return int(known) + int(offset or 0)


def send(census: model.Census, wanted: Wanted) -> list[JSON]:
    """Send it; return whom it went to and what becomes of it.  Raises: BadRequest, NotFound, Forbidden, FailedPrecondition."""
    return [_send_one(process, wanted.number) for process in targets(census, wanted)]


def targets(census: model.Census, wanted: Wanted) -> list[model.Process]:
    """Who is meant. Pure.  Raises: BadRequest, NotFound, Forbidden."""
    container = _container(census.pod, wanted)
    alive = [process for process in census.processes if process.state not in _DEAD]
    mine = [process for process in alive if process.container == container]
    if not wanted.process:
        chosen = [process for process in mine if process.main]
    elif wanted.process.isdigit():
        chosen = _numbered(alive, int(wanted.process), container, census.pod)
    else:
        chosen = [process for process in mine if wanted.process in _names(process)]
    if not chosen:
        what = f'process "{wanted.process}"' if wanted.process else "main process"
        raise errors.NotFound(f"container {container} of pod {census.pod.name} has no {what}")
    if not wanted.even_pause and any(process.container == model.PAUSE and process.main for process in chosen):
        raise errors.Forbidden(
            "this is /pause, which holds the Pod's namespaces: when it ends, every container is killed and started again; "
            "say so (--even-pause) if that is what you want"
        )
    return chosen


def _container(pod: model.PodHandle, wanted: Wanted) -> str:
    names = [member.name for member in pod.members if member.name != model.PAUSE]
    if wanted.container:
        if wanted.container not in (*names, model.PAUSE):
            raise errors.NotFound(f"no container {wanted.container} runs in pod {pod.name}; there is: {', '.join(names) or 'none'}")
        return wanted.container
    if len(names) != 1:
        raise errors.BadRequest(f"a container name must be specified for pod {pod.name}, choose one of: [{' '.join(names)}]")
    return names[0]


def _numbered(alive: Sequence[model.Process], pid: int, container: str, pod: model.PodHandle) -> list[model.Process]:
    """A PID means what it means to the container. One of a neighbour is refused by name: it is a mistake, or should be said."""
    own = [process for process in alive if process.pod_pid == pid and process.container == container]
    if own or pod.pid_mode.value not in ("POD", "NODE"):
        return own
    other = next((process for process in alive if process.pod_pid == pid), None)
    if other is None or other.container == model.PAUSE:
        return [other] if other else []
    raise errors.NotFound(f"process {pid} is not of container {container} but of {other.container}")


def _names(process: model.Process) -> tuple[str, ...]:
    first = process.argv[0] if process.argv else ""
    return (process.name, first, PurePosixPath(first.partition(" ")[0].rstrip(":")).name)


def _send_one(process: model.Process, number: int) -> JSON:
    shown: JSON = {"pid": process.pod_pid, "hostPid": process.pid, "container": process.container, "name": process.name}
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return {**shown, "outcome": "Gone"}
    try:
        with procdir.ProcDir(process.pid) as folder:
            if proctext.stat(folder.read("stat")).start_ticks != process.start_ticks:
                return {**shown, "outcome": "Gone"}
            fields = proctext.status(folder.read("status"))
        signal_numbers.pidfd_send_signal(fd, number)
    except (procdir.Gone, ProcessLookupError):
        return {**shown, "outcome": "Gone"}
    finally:
        os.close(fd)
    return {**shown, "outcome": outcome(fields, number, init=process.pids[-1] == 1)}


def outcome(fields: dict[str, str], number: int, *, init: bool) -> str:
    """What the kernel does with it: Delivered, Blocked (waits until the process unblocks it) or Ignored. Pure.

    A PID 1 gets only what it has a handler for, SIGKILL and SIGSTOP from outside excepted.
    """
    if number in _UNSTOPPABLE:
        return "Delivered"
    if proctext.has_signal(fields, "SigIgn", number):
        return "Ignored"
    if proctext.has_signal(fields, "SigBlk", number):
        return "Blocked"
    if init and not proctext.has_signal(fields, "SigCgt", number):
        return "Ignored"
    return "Delivered"

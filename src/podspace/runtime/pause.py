"""The program that is PID 1 of a sandbox, and the folder it has for a root.

catatonit -P reaps orphans and otherwise sleeps; it is shown as /pause, with no argument, because that is what people look for in ``ps``.
Called by ``sandbox_run``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from pathlib import Path

from podspace import errors
from podspace.linux import procfs
from podspace.runtime import layout, records, spec_sandbox

_PLACES = ("catatonit", "/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit", "/usr/libexec/catatonit/catatonit")


@functools.cache
def program() -> Path:
    """Raises: Unsupported."""
    for place in _PLACES:
        found = shutil.which(place)
        if found is not None:
            return Path(found).resolve()
    raise errors.Unsupported("catatonit is not on PATH; install it (Debian, Ubuntu: apt install catatonit)")


def make_rootfs(places: layout.Layout) -> Path:
    """Make the folder all /pause of this server share, read-only to them; idempotent."""
    rootfs = places.pause
    rootfs.chmod(0o755)  # in a user namespace /pause is not its owner, and the OCI runtime opens it there
    for name in ("proc", "dev", "sys"):
        (rootfs / name).mkdir(exist_ok=True)
    (rootfs / "pause").touch()
    return rootfs


def show_as_pause(sandbox: records.Sandbox) -> None:
    """Hide the argument from ``ps``, once the program has parsed it; until then nothing is done, and later steps call again.

    Where the kernel refuses it stays visible.
    """
    if not sandbox.disguised:
        with contextlib.suppress(OSError):
            if waits(sandbox.facts.pid):
                sandbox.disguised = procfs.hide_arguments(sandbox.facts.pid, spec_sandbox.ARGUMENTS, keep=1)


def waits(pid: int) -> bool:
    """Whether it sleeps in a read of its signalfd, as it does for the rest of its life. It opens that before it parses its arguments:
    blanked too early, they make it end. Source: proc_pid_syscall(5)."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()  # number and arguments of the call, or "running"
    return len(words) > 1 and "signalfd" in os.readlink(f"/proc/{pid}/fd/{int(words[1], 16)}")

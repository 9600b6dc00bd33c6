"""When /pause may be shown without its argument: not as long as it may still have to read it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from podspace.linux import procfs
from podspace.runtime import pause

_PROGRAM = """
import ctypes, os, sys, time
everything = ctypes.create_string_buffer(b"\\xff" * 128)
fd = ctypes.CDLL(None).signalfd(-1, everything, 0)
print(flush=True)
os.read(fd, 128) if sys.argv[1] == "reads" else time.sleep(1000)
"""


@contextlib.contextmanager
def with_a_signalfd(what: str) -> Iterator[int]:
    """A process that has one, and is asleep."""
    with subprocess.Popen([sys.executable, "-c", _PROGRAM, what], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while (seen := procfs.stat(process.pid)) is not None and seen.state != "S":
            pass
        yield process.pid
        process.kill()


@pytest.mark.parametrize(("what", "waits"), [("reads", True), ("has other things to do", False)])
def test_it_waits_once_it_reads_from_its_signalfd(what: str, waits: bool) -> None:
    with with_a_signalfd(what) as pid:
        assert pause.waits(pid) is waits

"""Run a part of a test in a forked child, which may move into another mount namespace for good.

The test process itself stays where it is. A failure comes back with the child's traceback.
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable

from podspace.aio import process


def in_child(function: Callable[[], None]) -> str:
    """Call ``function`` in a child; return "" or its traceback."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork with threads; the child starts none of theirs
        pid = os.fork()
    if pid == 0:
        os.close(read_end)
        os._exit(_child(function, write_end))
    os.close(write_end)
    with open(read_end, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    return said or ("" if status == 0 else f"the test's process ended with wait status {status}")


def _child(function: Callable[[], None], write_end: int) -> int:
    try:
        process.install_child_watcher()
        function()
    except BaseException:  # whatever it is, the parent reports it
        os.write(write_end, traceback.format_exc().encode()[-60_000:])
        return 1
    return 0

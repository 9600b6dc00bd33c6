"""Run a test in a forked child that has entered the private view of mounts which crun needs on a machine with hybrid cgroups.

The test process itself stays where it is: a mount namespace cannot be left again. A failure comes back with the child's traceback.
"""

from __future__ import annotations

import functools
import os
import traceback
import warnings
from collections.abc import Callable
from typing import ParamSpec

import pytest

from podspace import settings
from podspace.aio import process
from podspace.runtime import view

P = ParamSpec("P")


def isolated(test: Callable[P, None]) -> Callable[P, None]:
    """Decorate a test (not async) that makes an engine."""

    @functools.wraps(test)
    def forked(*args: P.args, **kwargs: P.kwargs) -> None:
        said = in_child(lambda: test(*args, **kwargs))
        if said:
            pytest.fail(said, pytrace=False)

    return forked


def in_child(function: Callable[[], None]) -> str:
    """Call ``function`` in a child in the private view; return "" or its traceback."""
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
        view.enter(settings.Settings())
        process.install_child_watcher()
        function()
    except BaseException:  # whatever it is, the parent reports it
        os.write(write_end, traceback.format_exc().encode()[-60_000:])
        return 1
    return 0

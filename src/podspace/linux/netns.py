"""Sockets inside another network namespace, and new ones, without moving this process there.

Called by ``network`` (netlink inside a Pod) and ``runtime`` (port-forward connects to a Pod's loopback). A socket belongs for ever
to the netns it was created in, whichever thread uses it, so a thread of its own enters, creates it, and ends: no thread of a pool
is ever left in the wrong namespace.
Source: network_namespaces(7), setns(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from podspace.linux import syscalls

CLONE_NEWNET = 0x40000000

Made = TypeVar("Made")


def inside(pid: int, make: Callable[[], Made]) -> Made:
    """Call ``make`` in a short-lived thread that is in the netns of ``pid``; return or raise what it does. About 0.2 ms.

    Raises: OSError (ENOENT: no such process; EPERM: not root).
    """
    outcome: list[Made] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(f"/proc/{pid}/ns/net")
            outcome.append(make())
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"netns-{pid}", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


class New:
    """A new netns, made and kept by a thread that does nothing else, until the block ends; who has joined it by then keeps it alive.

    ``prepare`` is called in it. A netns takes its time to make, and more to furnish: that can be done while something else is done.
    """

    def __init__(self, prepare: Callable[[], None]) -> None:
        self._prepare = prepare
        self._loop = asyncio.get_running_loop()
        self._made: asyncio.Future[int] = self._loop.create_future()
        self._done = threading.Event()

    def __enter__(self) -> New:
        threading.Thread(target=self._keep, name="netns-new", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._made.cancel()

    async def thread(self) -> int:
        """The number of the thread, once it is there: /proc/<number>/ns/net is the netns. Raises: OSError, and what ``prepare`` does."""
        return await asyncio.shield(self._made)

    def _keep(self) -> None:
        try:
            syscalls.unshare(CLONE_NEWNET)
            self._prepare()
        except BaseException as error:
            self._tell(functools.partial(self._made.set_exception, error))
        else:
            self._tell(functools.partial(self._made.set_result, threading.get_native_id()))
            self._done.wait()

    def _tell(self, outcome: Callable[[], None]) -> None:
        def settle() -> None:
            if not self._made.done():
                outcome()

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(settle)


def open_socket(pid: int, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
    """A socket that lives in the netns of ``pid``, to be used from anywhere."""
    return inside(pid, lambda: socket.socket(family, kind, protocol))


def _enter(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)

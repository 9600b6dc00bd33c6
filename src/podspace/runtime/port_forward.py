"""Connect to a port of a sandbox from inside its network namespace, so that a server on its loopback is reached too.

Called by ``Engine.port_forward``. Source: KEP-4006's "port-forward"; containerd dials localhost, IPv4 first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from podspace import errors
from podspace.linux import netns
from podspace.runtime import model, records

_LOCALHOST = (("IPv4", socket.AF_INET, "127.0.0.1"), ("IPv6", socket.AF_INET6, "::1"))


async def connect(sandbox: records.Sandbox, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the connection. Raises: FailedPrecondition (sandbox not ready), Unavailable (refused, in containerd's words)."""
    if not sandbox.ready:
        raise errors.FailedPrecondition(f"sandbox {sandbox.id} is not ready")
    reasons: list[str] = []
    for name, family, address in _LOCALHOST:
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(_socket(sandbox, family))
                connection.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
                streams = await asyncio.open_connection(sock=connection)
            except OSError as error:
                reasons.append(f"{name}: {os.strerror(error.errno).lower() if error.errno else error}")
                continue
            stack.pop_all()
            return streams
    raise errors.Unavailable(f"failed to connect to localhost:{port} inside the pod, {', '.join(reasons)}")


def _socket(sandbox: records.Sandbox, family: int) -> socket.socket:
    if sandbox.config.network is model.NamespaceMode.NODE:
        return socket.socket(family, socket.SOCK_STREAM)
    return netns.open_socket(sandbox.facts.pid, family)

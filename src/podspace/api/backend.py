"""What the API server needs from whoever runs the Pods: exec, attach, logs and port-forward.

``api`` calls it, ``node`` fulfils it (structurally: it does not import this module), ``daemon`` joins the two. Everything else
between them goes through the store. It must not know HTTP, sandboxes or processes.

Before any of these is called the front door has checked that the Pod exists, is bound to a node, and that the container's
name is in its spec (containers, initContainers or ephemeralContainers). Whether the container runs is the backend's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from podspace.kube.json import JSON
from podspace.wire.logoptions import LogOptions
from podspace.wire.streams import Streams

__all__ = ["Backend", "LogOptions"]


class Backend(Protocol):
    """The running side of Pods. Objects are those of the store: read only."""

    def refusal(self, pod: JSON, container: str, *, attach: bool) -> str:
        """Why exec or attach cannot even begin, in a kubelet's words; "" if it can."""

    async def exec(self, pod: JSON, container: str, argv: Sequence[str], streams: Streams) -> int:
        """Run a command in a running container; return its exit code once both outputs are drained.

        Cancelled or ``streams.disconnected``: the command is left to its fate as kubelets do.
        Raises: NotFound (no such container now), FailedPrecondition (it does not run), Internal, ToolError.
        """

    async def attach(self, pod: JSON, container: str, streams: Streams) -> None:
        """Join the container's main process; return when it ends or the client goes.  Raises: as ``exec``."""

    def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Yield the log as the client shall see it, in chunks of any size; with ``follow`` until the container ends.

        Errors (BadRequest: the container waits, or has no earlier instance) come with the first item, before any byte.
        """

    async def port_forward(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to 127.0.0.1:port inside the Pod's netns.  Raises: Unavailable with the kernel's words when refused."""

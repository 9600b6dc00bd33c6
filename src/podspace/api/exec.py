"""exec, attach, port-forward: what is checked before the connection is upgraded, and what then runs on it.

Called by ``dispatch``. The protocols are in ``streaming``; what runs is the backend's.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from podspace import errors
from podspace.api import containers
from podspace.api.call import Call
from podspace.kube.json import JSON
from podspace.streaming import upgrade
from podspace.wire.streams import Streams


async def exec_command(call: Call) -> web.StreamResponse:
    """``pods/X/exec?command=ls&command=-l&container=c&stdout=true``.  Raises: BadRequest, NotFound."""
    pod, container = _addressed(call)
    command = call.query.all("command")
    _require_upgrade(call)
    if not command:
        raise errors.BadRequest("you must specify a command: add command= to the query, once for each argument")

    async def run(streams: Streams) -> int:
        return await call.services.backend.exec(pod, container, command, streams)

    refusal = call.services.backend.refusal(pod, container, attach=False)
    return await _serve(call, run, "error executing command in container", refusal)


async def attach(call: Call) -> web.StreamResponse:
    """``pods/X/attach?container=c&stdin=true&stdout=true``.  Raises: BadRequest, NotFound."""
    pod, container = _addressed(call)
    _require_upgrade(call)

    async def run(streams: Streams) -> None:
        await call.services.backend.attach(pod, container, streams)

    refusal = call.services.backend.refusal(pod, container, attach=True)
    return await _serve(call, run, "error attaching to container", refusal)


async def port_forward(call: Call) -> web.StreamResponse:
    """``pods/X/portforward``; the ports come with each stream, or as ``ports=80``.  Raises: BadRequest, NotFound."""
    pod = call.existing()
    containers.require_scheduled(pod)
    _require_upgrade(call)

    async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await call.services.backend.port_forward(pod, port)

    metadata = pod["metadata"]
    name = f"{metadata['name']}_{metadata['namespace']}"
    with call.services.sessions.held():
        return await upgrade.serve_port_forward(call.http, connect=connect, ports=call.query.all("ports"), pod=name, uid=metadata["uid"])


async def _serve(call: Call, run: upgrade.Run, doing: str, refusal: str) -> web.StreamResponse:
    tty = call.query.flag("tty")
    with call.services.sessions.held():
        return await upgrade.serve_remote_command(
            call.http,
            stdin=call.query.flag("stdin"),
            stdout=call.query.flag("stdout"),
            stderr=call.query.flag("stderr") and not tty,
            tty=tty,
            run=run,
            doing=doing,
            refusal=refusal,
        )


def _addressed(call: Call) -> tuple[JSON, str]:
    pod = call.existing()
    container = containers.choose(pod, call.query.get("container"))
    containers.require_scheduled(pod)
    return pod, container


def _require_upgrade(call: Call) -> None:
    if "upgrade" not in call.http.headers.get("Connection", "").lower():
        raise errors.BadRequest("Upgrade request required")

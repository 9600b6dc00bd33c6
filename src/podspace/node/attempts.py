"""Carrying out a handler once: a probe's question to a container, with the answer in a kubelet's words.

Called by ``prober`` and, for hooks, by ``hooks``. Nothing here knows thresholds or timers.
Source: kubernetes pkg/probe/{exec,tcp,grpc}, pkg/kubelet/prober/prober.go.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from podspace import errors
from podspace.kube.json import JSON
from podspace.node import handlers
from podspace.node.handlers import Exec, Grpc, Handler, HttpGet, TcpSocket
from podspace.node.probes import Answer, Outcome
from podspace.runtime.engine import Engine
from podspace.runtime.model import ContainerId
from podspace.settings import KUBERNETES_VERSION

OUTPUT_LIMIT_BYTES = 10 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom a handler is aimed at. ``address``: the Pod's, "" when it has none. ``ports``: the container's JSON, for ports by name."""

    engine: Engine
    container: ContainerId
    address: str
    ports: JSON


async def attempt(target: Target, handler: Handler, timeout_seconds: float) -> Outcome:
    """Ask once. Whatever keeps the question from being asked is ``UNKNOWN``; no failure of the container is raised."""
    try:
        match handler:
            case Exec():
                return await _exec(target, handler, timeout_seconds)
            case HttpGet():
                from podspace.node import attempt_http

                return await attempt_http.probe(target, handler, timeout_seconds)
            case TcpSocket():
                return await _tcp(target, handler, timeout_seconds)
            case Grpc():
                from podspace.node import attempt_grpc

                return await attempt_grpc.probe(target, handler, timeout_seconds)
    except (errors.PodspaceError, OSError) as error:
        return Outcome(answer=Answer.UNKNOWN, text=str(error))
    return Outcome(answer=Answer.UNKNOWN, text="missing probe handler")


async def _exec(target: Target, handler: Exec, timeout_seconds: float) -> Outcome:
    try:
        done = await target.engine.exec_sync(target.container, handler.command, timeout_seconds, limit_bytes=OUTPUT_LIMIT_BYTES)
    except errors.TimedOut:
        words = f'command timed out: "{" ".join(handler.command)}" timed out after {timeout_seconds:g}s'
        return Outcome(answer=Answer.FAILURE, text=words)
    said = (done.stdout + done.stderr)[:OUTPUT_LIMIT_BYTES].decode(errors="replace")
    return Outcome(answer=Answer.SUCCESS if done.exit_code == 0 else Answer.FAILURE, text=said)


async def _tcp(target: Target, handler: TcpSocket, timeout_seconds: float) -> Outcome:
    host = handler.host or target.address
    port = handlers.port_number(handler.port, target.ports)
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(answer=Answer.FAILURE, text=f"dial tcp {endpoint(host, port)}: i/o timeout")
    except OSError as error:
        return Outcome(answer=Answer.FAILURE, text=dial_words(host, port, error))
    writer.transport.abort()
    return Outcome(answer=Answer.SUCCESS)


def user_agent(purpose: str) -> str:
    """Who asks: ``kube-probe/1.36``."""
    return f"kube-{purpose}/{'.'.join(KUBERNETES_VERSION.removeprefix('v').split('.')[:2])}"


def endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_words(host: str, port: int, error: OSError) -> str:
    """A connection that did not come about, as Go words it."""
    why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
    return f"dial tcp {endpoint(host, port)}: connect: {why}"

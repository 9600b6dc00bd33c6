"""The CRI on a unix socket: a table of RPCs, each a method of one of the parts, and the server around them.

Made by the daemon, and only when a socket is asked for: importing this imports gRPC. What no part has a method for is UNIMPLEMENTED.
Source: cri-api runtime/v1 api.proto, as far as the stubs know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import re
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from cri_api.v1 import api_pb2 as pb
from google.protobuf import message_factory
from google.protobuf.message import Message

from podspace import errors
from podspace.cri import newer, status_grpc
from podspace.cri.containers import Containers
from podspace.cri.events import Events
from podspace.cri.images import ImageService
from podspace.cri.information import Information
from podspace.cri.metrics import Metrics
from podspace.cri.owned import Owned
from podspace.cri.sandboxes import Sandboxes
from podspace.cri.stats import Stats
from podspace.cri.streaming import Streaming
from podspace.image.service import Images
from podspace.runtime.engine import Engine
from podspace.settings import Settings

_MESSAGE_BYTES = 16 << 20  # what a kubelet takes and sends at most
_STOP_SECONDS = 1.0


class CriServer:
    """One per server."""

    def __init__(self, engine: Engine, images: Images, settings: Settings, path: Path) -> None:
        self._path = path
        owned = Owned(engine)
        self._events = Events(owned, images)
        self._streaming = Streaming(owned)
        information = Information(owned, settings, importlib.metadata.version("podspace"))
        runtime = (
            information,
            Sandboxes(owned, images, self._events),
            Containers(owned, images, self._events),
            Stats(owned, settings.paths),
            Metrics(owned, images),
            self._streaming,
            self._events,
        )
        self._services = {"RuntimeService": runtime, "ImageService": (ImageService(owned, images, settings),)}

    async def run(self, ready: asyncio.Event) -> None:
        """Serve until cancelled. Raises: Unavailable when another server listens there, OSError."""
        _clear(self._path)
        async with asyncio.TaskGroup() as group, self._streaming.running():
            group.create_task(self._events.run())
            server = grpc.aio.server(
                handlers=[handlers(name, parts) for name, parts in self._services.items()],
                options=[("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", 4 * _MESSAGE_BYTES)],
            )
            server.add_insecure_port(f"unix:{self._path}")
            await server.start()
            self._path.chmod(0o600)
            ready.set()
            try:
                await server.wait_for_termination()
            finally:
                await server.stop(_STOP_SECONDS)
                self._path.unlink(missing_ok=True)


def handlers(service: str, parts: Sequence[object]) -> grpc.GenericRpcHandler:
    """The RPCs of a service that one of ``parts`` has a method for: RunPodSandbox is ``run_pod_sandbox``."""
    descriptor = pb.DESCRIPTOR.services_by_name[service]
    found: dict[str, grpc.RpcMethodHandler[object, object]] = {}
    for rpc in descriptor.methods:
        method = next((method for part in parts if (method := getattr(part, method_name(rpc.name), None)) is not None), None)
        if method is None:
            continue
        request = message_factory.GetMessageClass(rpc.input_type)
        found[rpc.name] = _handler(rpc.name, method, request, streams=rpc.server_streaming)
        for name in (name for name, listing in newer.STREAMED.items() if listing == rpc.name):
            found[name] = _handler(name, newer.streamed(method), request, streams=True)
    return grpc.method_handlers_generic_handler(descriptor.full_name, found)


def _handler(name: str, method: Any, request: type[Message], *, streams: bool) -> grpc.RpcMethodHandler[object, object]:
    wrapped: Any = status_grpc.guarded_stream(name, method) if streams else status_grpc.guarded(name, method)
    make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    return make(wrapped, request_deserializer=request.FromString, response_serializer=_serialize)


def _serialize(answer: Any) -> bytes:
    data: bytes = answer.SerializeToString()
    return data


def method_name(rpc: str) -> str:
    """``ListPodSandbox`` -> ``list_pod_sandbox``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()


def _clear(path: Path) -> None:
    """Make the folder, and remove the socket of a server that is gone. Raises: Unavailable, FailedPrecondition, BadRequest."""
    if len(os.fsencode(path)) > 107:
        raise errors.BadRequest(f"{path}: too long for a unix socket (107 bytes)")
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise errors.FailedPrecondition(f"{path} is there and is not a socket; remove it or choose another path")
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.connect(str(path))
            raise errors.Unavailable(f"{path}: another server listens there")
        path.unlink()

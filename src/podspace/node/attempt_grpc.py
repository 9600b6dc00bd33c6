"""The health question of gRPC (grpc.health.v1.Health/Check), for probes that ask it.

grpcio costs 25 MB and half a second: it is imported, off the event loop, by the first such probe and by nothing else here. The two
messages have one field each and are written by hand. Called by ``attempts``. Source: kubernetes pkg/probe/grpc.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from podspace.node import attempts
from podspace.node.handlers import Grpc
from podspace.node.probes import Answer, Outcome

_METHOD = "/grpc.health.v1.Health/Check"
_SERVING = 1
_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def probe(target: attempts.Target, handler: Grpc, timeout_seconds: float) -> Outcome:
    """Good if the service says SERVING within the time."""
    grpc = await asyncio.to_thread(importlib.import_module, "grpc.aio")
    codes = importlib.import_module("grpc").StatusCode
    where = attempts.endpoint(target.address, handler.port)
    options = (
        ("grpc.primary_user_agent", attempts.user_agent("probe")),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    async with grpc.insecure_channel(where, options=options) as channel:
        check = channel.unary_unary(_METHOD, request_serializer=request, response_deserializer=status_of)
        try:
            status = await check(handler.service, timeout=timeout_seconds, wait_for_ready=False)
        except grpc.AioRpcError as error:
            return Outcome(answer=Answer.FAILURE, text=_words(error, codes, where, timeout_seconds))
    if status == _SERVING:
        return Outcome(answer=Answer.SUCCESS, text="service healthy")
    return Outcome(answer=Answer.FAILURE, text=f'service unhealthy (responded with "{_NAMES.get(status, status)}")')


def _words(error: Any, codes: Any, where: str, timeout_seconds: float) -> str:
    if error.code() == codes.UNIMPLEMENTED:
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {error.details()}"
    if error.code() == codes.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {timeout_seconds:g}s"
    if error.code() == codes.UNAVAILABLE:
        return f'timeout: failed to connect service "{where}" within {timeout_seconds:g}s: {error.details()}'
    return f"error: health rpc probe failed: {error.details()}"


def request(service: str) -> bytes:
    """HealthCheckRequest: field 1, a string."""
    text = service.encode()
    return b"\x0a" + _varint(len(text)) + text if text else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def status_of(message: bytes) -> int:
    """HealthCheckResponse: field 1, a small number; absent is 0 (UNKNOWN)."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0

"""Our errors as gRPC status codes, in one table, applied and logged in one place.

``guarded`` wraps every RPC. A kubelet reads the code (NOT_FOUND: it is gone; DEADLINE_EXCEEDED: a probe timed out) and shows the message.
Source: grpc/doc/statuscodes.md; kubelet pkg/kubelet/cri/remote.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from podspace import errors

log = logging.getLogger(__name__)

CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (errors.BadRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Unauthorized, grpc.StatusCode.UNAUTHENTICATED),
    (errors.Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.Conflict, grpc.StatusCode.ABORTED),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.TimedOut, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Unsupported, grpc.StatusCode.UNIMPLEMENTED),
    (errors.ToolError, grpc.StatusCode.UNKNOWN),
    (errors.PodspaceError, grpc.StatusCode.INTERNAL),
    (OSError, grpc.StatusCode.INTERNAL),
)
_QUIET = (errors.NotFound, errors.TimedOut)  # a kubelet asks for what is gone, and probes time out: not worth a warning


def code_of(error: BaseException) -> grpc.StatusCode:
    """INTERNAL for what was not raised on purpose."""
    return next((code for kind, code in CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def leaf(error: BaseException) -> BaseException:
    """The first error in a group, ours before others'."""
    while isinstance(error, BaseExceptionGroup):
        error = next((inner for inner in error.exceptions if isinstance(inner, errors.PodspaceError)), error.exceptions[0])
    return error


def guarded(name: str, method: Callable[[Any], Awaitable[Message]]) -> Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]:
    """Wrap an RPC with one answer."""

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        try:
            return await method(request)
        except Exception as error:  # the outermost place of an RPC: whatever it is, the client gets a status
            await _abort(name, error, context)
            raise

    return call


def guarded_stream(
    name: str, method: Callable[[Any], AsyncIterator[Message]]
) -> Callable[[Any, grpc.aio.ServicerContext[Any, Any]], AsyncIterator[Any]]:
    """Wrap an RPC that answers with a stream."""

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Message]:
        try:
            async for answer in method(request):
                yield answer
        except Exception as error:
            await _abort(name, error, context)

    return call


async def _abort(name: str, error: Exception, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    found = leaf(error)
    if isinstance(found, errors.PodspaceError | OSError):
        log.log(logging.DEBUG if isinstance(found, _QUIET) else logging.WARNING, "%s: %s", name, found)
    else:
        log.error("%s failed", name, exc_info=error)
    await context.abort(code_of(found), str(found) or type(found).__name__)
